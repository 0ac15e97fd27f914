//! The processes of one era's measurement, and what is called on them.

use crate::client::{Fault, Lane, Url};
use crate::options::{Era, Options, Target};
use crate::process::{
    Gateway, HTTP_SERVER, HttpBackend, Memory, STDIO_SERVER, settled_memory, stdio_backends,
};

/// Something that is called.
#[derive(Debug, Clone)]
pub struct Subject {
    /// Its name in the report.
    pub name: String,
    /// Its process's name there; several subjects may share one.
    pub process: String,
    /// The era spoken to it.
    pub era: Era,
    /// Its MCP endpoint.
    pub url: Url,
    /// What stands before the backend's tool names.
    pub prefix: String,
    /// Its process.
    pub pid: Option<u32>,
    /// The processes of the backend behind it.
    pub backends: Vec<u32>,
    /// Its memory before any load.
    pub idle: Option<Memory>,
}

impl Subject {
    /// Opens lanes, each with its own connection and session.
    pub async fn lanes(&self, tool: &str, count: usize, payload: usize) -> Result<Vec<Lane>, Fault> {
        let tool = format!("{}{tool}", self.prefix);
        let mut lanes = Vec::with_capacity(count);
        for number in 0..count {
            lanes.push(Lane::open(&self.url, self.era, &tool, number, payload).await?);
        }
        Ok(lanes)
    }

    /// The processes whose CPU time is its own.
    pub fn own(&self) -> Vec<u32> {
        self.pid.into_iter().collect()
    }
}

/// The running processes and the subjects on them.
#[derive(Debug)]
pub struct Stage {
    /// The backend without anything in front.
    pub direct: Subject,
    /// Everything else, in the order of the report.
    pub subjects: Vec<Subject>,
    gateway: Option<Gateway>,
    _backend: HttpBackend,
}

impl Stage {
    /// Starts the backend, and the gateway when a target needs it, and waits until all is ready.
    pub async fn set(options: &Options, era: Era) -> crate::Result<Self> {
        let backend_era = options.backend_era.unwrap_or(era);
        let backend = HttpBackend::start(backend_era, None).await?;
        let mut direct = Subject {
            name: "direct".into(),
            process: "direct".into(),
            era: backend_era,
            url: Url::parse(&backend.url)?,
            prefix: String::new(),
            pid: Some(backend.pid),
            backends: Vec::new(),
            idle: None,
        };
        let mut subjects = Vec::new();
        let mut gateway = None;
        if options.wants_gateway() {
            let mut started = Gateway::spawn(options, backend_era, &backend.url, None)?;
            started.ready().await?;
            started.listed(era).await?;
            for (target, server) in [(Target::Stdio, STDIO_SERVER), (Target::Http, HTTP_SERVER)] {
                if options.target.contains(&target) {
                    subjects.push(behind(&started, era, target, server, &backend));
                }
            }
            if options.target.contains(&Target::Service) {
                let (url, prefix) = (started.service(), String::new());
                let via = behind(&started, backend_era, Target::Service, HTTP_SERVER, &backend);
                subjects.push(Subject { url, prefix, ..via });
            }
            gateway = Some(started);
        }
        if options.target.contains(&Target::Peers) {
            for peer in &options.peer_url {
                subjects.push(Subject {
                    name: peer.name.clone(),
                    process: peer.name.clone(),
                    era,
                    url: Url::parse(&peer.url)?,
                    prefix: peer.prefix.clone(),
                    pid: peer.pid,
                    backends: Vec::new(),
                    idle: None,
                });
            }
        }
        for subject in subjects.iter_mut().chain([&mut direct]) {
            if let Some(pid) = subject.pid {
                subject.idle = Some(settled_memory(pid).await?);
            }
        }
        Ok(Self { direct, subjects, gateway, _backend: backend })
    }

    /// The subjects behind the gateway.
    pub fn gateway_subjects(&self) -> impl Iterator<Item = &Subject> {
        self.subjects.iter().filter(|subject| subject.process == "gateway")
    }

    /// The subjects whose memory can be read, one a process.
    pub fn weighable(&self) -> impl Iterator<Item = (&Subject, u32)> {
        let mut seen = Vec::new();
        self.subjects.iter().filter_map(move |subject| {
            let pid = subject.pid.filter(|pid| !seen.contains(pid))?;
            seen.push(pid);
            Some((subject, pid))
        })
    }

    /// Stops the gateway and the backend.
    pub async fn clear(self) -> crate::Result<()> {
        match self.gateway {
            Some(gateway) => gateway.stop().await,
            None => Ok(()),
        }
    }
}

fn behind(gateway: &Gateway, era: Era, target: Target, server: &str, backend: &HttpBackend) -> Subject {
    let (url, prefix) = gateway.endpoint(server);
    let (name, backends) = match target {
        Target::Stdio => ("via stdio", stdio_backends()),
        Target::Service => ("as a service", vec![backend.pid]),
        _ => ("via HTTP", vec![backend.pid]),
    };
    Subject {
        name: name.into(),
        process: "gateway".into(),
        era,
        url,
        prefix,
        pid: Some(gateway.pid),
        backends,
        idle: None,
    }
}
