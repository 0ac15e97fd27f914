//! `trunkline health`: whether the gateway of this configuration answers; what a container's health check runs.

use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use http::{Request, Uri};
use http_body_util::{BodyExt, Full, Limited};

use crate::config;
use crate::upstream::http::{ClientOptions, HttpClient};

use super::arguments::Serve;
use super::exit;
use super::words::{fail, print};

/// The most that is read of an answer: a line for each of ten thousand servers.
const MAX_ANSWER: usize = 1 << 20;

/// `trunkline health`.
#[derive(Debug, Args)]
pub struct Health {
    /// The gateway's address, such as http://127.0.0.1:6270; otherwise where the configuration listens.
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// Fail too when a server or service is down; without this, only when the gateway does not answer.
    #[arg(long)]
    pub all: bool,
    /// How long it may take.
    #[arg(long, value_name = "TIME", default_value = "3s", value_parser = config::parse_duration)]
    pub timeout: Duration,
    #[command(flatten)]
    pub serve: Serve,
}

/// Asks, says in a line what is there, and ends with 0 if it is well.
pub fn health(arguments: Health, before: Serve) -> ExitCode {
    let base = match &arguments.url {
        Some(url) => url.trim_end_matches('/').to_owned(),
        None => {
            let Serve { config, data_dir, listen } = arguments.serve.over(before);
            match super::load::configuration(config, data_dir, listen) {
                Ok(config) => config::Listening::of(&config.gateway).base(),
                Err(code) => return code,
            }
        }
    };
    let Ok(url) = format!("{base}/readyz").parse::<Uri>() else {
        return fail(exit::USAGE, &format!("--url {base:?} is no http or https URL"));
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(exit::FAILURE, &error.to_string()),
    };
    let asked = runtime.block_on(async { tokio::time::timeout(arguments.timeout, ask(&url)).await });
    match asked {
        Err(_) => fail(
            exit::FAILURE,
            &format!(
                "no answer from {url} within {:?} (--timeout); the log of the gateway says more",
                arguments.timeout
            ),
        ),
        Ok(Err(why)) => fail(exit::FAILURE, &format!("no gateway answers at {url}: {why}; is it running?")),
        Ok(Ok(status)) => {
            print(&format!("{status}\n"));
            let well = status == READY || !arguments.all;
            if well { ExitCode::SUCCESS } else { ExitCode::from(exit::FAILURE) }
        }
    }
}

/// What `/readyz` says when everything is up.
const READY: &str = "ready";
/// What it says when something is not.
const DEGRADED: &str = "degraded";

/// The gateway's own word for how it is.
async fn ask(url: &Uri) -> Result<String, String> {
    let options = ClientOptions {
        https: url.scheme_str() == Some("https"),
        // Its certificate is made out to the name that its clients use, which nobody calls it by here; nothing is
        // told but that we ask.
        trust_anybody: true,
        connect_timeout: Duration::MAX,
        ..ClientOptions::default()
    };
    let client = HttpClient::new(&options).map_err(|error| error.to_string())?;
    let request = Request::get(url).body(Full::<Bytes>::default()).map_err(|error| error.to_string())?;
    let response = client.request(request).await.map_err(|error| innermost(&error))?;
    let status = response.status();
    if !status.is_success() {
        return Err(format!("it answers {status}"));
    }
    let body =
        Limited::new(response.into_body(), MAX_ANSWER).collect().await.map_err(|error| error.to_string())?;
    let said: serde_json::Value = serde_json::from_slice(&body.to_bytes()).unwrap_or_default();
    // Where callers need a credential, which a health check has not, the word is all that is said.
    let word = said["status"].as_str().filter(|word| [READY, DEGRADED].contains(word));
    word.map(str::to_owned).ok_or_else(|| "what answers there is no trunkline".to_owned())
}

/// The cause at the bottom, which says what the system says.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}
