//! `trunkline services` and `trunkline service`.

use clap::Subcommand;
use http::Method;

use crate::cli::exit;
use crate::cli::words::print;
use crate::http::api::Act;
use crate::http::api::shape::{Service, ServiceDetail, Services};

use super::client::{Client, Remote, Trouble};
use super::order::order;
use super::servers::{checked, note};
use super::table::{cut, length, or_dash, table};

/// Characters of what others wrote.
const LINE: usize = 1_000;

/// What to do to a service.
#[derive(Debug, Subcommand)]
pub enum Deed {
    /// Close its breaker.
    Reset {
        /// The service.
        name: String,
    },
    /// Take it into service again.
    Enable {
        /// The service.
        name: String,
    },
    /// Take it out of service: no request is passed on to it, until it is enabled or the gateway starts anew.
    Disable {
        /// The service.
        name: String,
    },
}

/// All services, or one in detail.
pub async fn services(client: &Client, remote: &Remote, name: Option<String>) -> Result<u8, Trouble> {
    let path = match &name {
        Some(name) => format!("/services/{}", checked(name)?),
        None => "/services".to_owned(),
    };
    if remote.json {
        print(&format!("{}\n", client.text(Method::GET, &path).await?));
    } else if name.is_some() {
        print(&in_detail(&client.get(&path).await?));
    } else {
        let all: Services = client.get(&path).await?;
        print(&in_table(&all.services));
    }
    Ok(exit::OK)
}

/// Does something to one.
pub async fn act(client: &Client, remote: &Remote, deed: Deed) -> Result<u8, Trouble> {
    let (act, name) = match deed {
        Deed::Reset { name } => (Act::Reset, name),
        Deed::Enable { name } => (Act::Enable, name),
        Deed::Disable { name } => (Act::Disable, name),
    };
    order(client, remote, &format!("/services/{}/{}", checked(&name)?, act.as_str())).await
}

fn in_table(services: &[Service]) -> String {
    let row = |service: &Service| {
        vec![
            service.name.clone(),
            if service.enabled { service.state.clone() } else { "disabled".to_owned() },
            length(service.for_ms),
            service.in_flight.to_string(),
            service.falls.to_string(),
            note(&service.breaker, service.last_error.as_deref(), service.next_try_ms),
        ]
    };
    table(
        &["NAME", "STATE", "FOR", "REQUESTS", "FALLS", "NOTE"],
        &services.iter().map(row).collect::<Vec<_>>(),
    )
}

fn in_detail(detail: &ServiceDetail) -> String {
    let service = &detail.service;
    let (busy, most, waiting) = (service.in_flight, detail.max_in_flight, service.waiting);
    let mut lines: Vec<(&str, String)> = vec![
        ("state", format!("{} for {}", service.state, length(service.for_ms))),
        ("in service", if service.enabled { "yes" } else { "no" }.to_owned()),
        ("reached by", cut(&detail.target, LINE)),
        ("here", detail.endpoint.clone()),
        ("health check", or_dash(detail.health_path.as_ref().map(|path| cut(path, LINE)))),
        ("breaker", service.breaker.clone()),
        ("requests", format!("{busy} of {most}, {waiting} waiting")),
        ("rate", or_dash(detail.rate.as_ref())),
        ("falls", service.falls.to_string()),
    ];
    lines.extend(service.last_error.as_ref().map(|error| ("last error", cut(error, LINE))));
    lines.extend(service.next_try_ms.map(|wait| ("next try", format!("in {}", length(wait)))));
    let lines = lines.into_iter().map(|(what, value)| format!("  {what:<17}  {value}\n"));
    format!("{}\n{}", service.name, lines.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service() -> Service {
        Service {
            name: "ollama".to_owned(),
            state: "failed".to_owned(),
            for_ms: 61_000,
            enabled: true,
            breaker: "open".to_owned(),
            in_flight: 1,
            waiting: 2,
            falls: 3,
            last_error: Some("cannot be reached".to_owned()),
            next_try_ms: Some(1_500),
        }
    }

    #[test]
    fn services_are_told_in_a_table() {
        let expected = "\
NAME    STATE   FOR    REQUESTS  FALLS  NOTE
ollama  failed  1 m 1 s  1  3  breaker open; cannot be reached; next try in 1.5 s
b  disabled  1 m 1 s  1  3
";
        let out = Service {
            name: "b".to_owned(),
            enabled: false,
            breaker: "closed".to_owned(),
            last_error: None,
            next_try_ms: None,
            ..service()
        };
        let squeeze = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(squeeze(&in_table(&[service(), out])), squeeze(expected));
    }

    #[test]
    fn one_is_told_in_detail() {
        let detail = ServiceDetail {
            service: service(),
            target: "http://127.0.0.1:11434".to_owned(),
            endpoint: "/services/ollama".to_owned(),
            health_path: None,
            max_in_flight: 8,
            rate: Some("10/s".to_owned()),
        };
        let told = in_detail(&detail);
        for line in ["ollama\n", "failed for 1 m 1 s", "1 of 8, 2 waiting", "10/s", "in 1.5 s"] {
            assert!(told.contains(line), "{told}");
        }
    }
}
