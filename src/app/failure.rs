//! Why the daemon could not start, for the person at the terminal.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::base::SealKeyError;
use crate::platform::LimitError;
use crate::sqlite::OpenError;
use crate::telemetry::{InstallError, LoggingError};

/// Why the daemon could not start. Each says what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The address cannot be bound.
    #[error("cannot listen on {address}: {reason}; {}", cure_of(*.address, .reason))]
    Listen {
        /// The configured address.
        address: SocketAddr,
        /// What the system says.
        reason: std::io::Error,
    },
    /// Another gateway has the folder.
    #[error(
        "another gateway (process {holder}) keeps its files in '{}'; stop it, or give this one a folder of its own with `--data-dir` or gateway.data_dir", .path.display()
    )]
    Claimed {
        /// The folder.
        path: PathBuf,
        /// The process that has it.
        holder: String,
    },
    /// The service manager's socket is open to others than the configuration says.
    #[error(
        "the socket that the service manager has opened listens on {socket}, which others can reach, and gateway.listen is {configured}; write the same address in both (ListenStream= of the socket's unit)"
    )]
    Socket {
        /// The socket's address.
        socket: SocketAddr,
        /// The configured address.
        configured: SocketAddr,
    },
    /// The address of the administration interface cannot be bound.
    #[error(
        "cannot listen on {address}: {reason}; choose another address for the administration interface with admin.listen"
    )]
    ListenAdmin {
        /// The configured address.
        address: SocketAddr,
        /// What the system says.
        reason: std::io::Error,
    },
    /// The folder for our own files cannot be made.
    #[error("cannot use the folder '{}' for the gateway's own files: {reason}; choose another with `--data-dir` or gateway.data_dir", .path.display())]
    DataDir {
        /// The configured folder.
        path: PathBuf,
        /// What the system says.
        reason: std::io::Error,
    },
    /// The key that seals sessions cannot be used.
    #[error(transparent)]
    Key(SealKeyError),
    /// The database is not ours.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// The log cannot be set up.
    #[error(transparent)]
    Logging(#[from] LoggingError),
    /// The credential for another gateway cannot be read.
    #[error("cannot read the credential from '{}': {reason}", .path.display())]
    Credential {
        /// The file that was named.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A variable was named for the credential, and is not there.
    #[error("the environment variable {0}, which --token-env names, is not set")]
    NoCredential(String),
    /// TLS for another gateway cannot be set up.
    #[error(transparent)]
    Client(#[from] crate::upstream::http::ClientError),
    /// The address of another gateway makes no sense.
    #[error("--connect {0:?} is no http or https URL of a gateway, such as http://127.0.0.1:6270")]
    Url(String),
    /// TLS at the front cannot be set up.
    #[error("cannot speak TLS under the certificate of gateway.tls: {0}")]
    Tls(#[from] rustls::Error),
    /// Metrics cannot be set up.
    #[error(transparent)]
    Metrics(#[from] InstallError),
    /// A system limit.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// The runtime, or signals.
    #[error("the system refuses what the gateway needs to run: {0}")]
    System(#[from] std::io::Error),
}

impl From<SealKeyError> for Failure {
    fn from(error: SealKeyError) -> Failure {
        match &error {
            // The first file that is made in the folder: what hinders it is the folder's.
            SealKeyError::Io { path, source, .. } => Failure::DataDir {
                path: path.parent().unwrap_or(path).to_owned(),
                reason: std::io::Error::new(source.kind(), error.to_string()),
            },
            _ => Failure::Key(error),
        }
    }
}

/// What can be done about an address that cannot be listened on.
fn cure_of(address: SocketAddr, reason: &std::io::Error) -> String {
    const OTHER: &str = "choose another address with `--listen` or gateway.listen";
    match reason.kind() {
        ErrorKind::AddrInUse => format!(
            "another program has it, perhaps another trunkline (`ss -ltnp 'sport = :{}'` says which): stop that one, or {OTHER}",
            address.port()
        ),
        ErrorKind::PermissionDenied => format!("ports below 1024 are the system's: {OTHER}"),
        ErrorKind::AddrNotAvailable => {
            format!("{} is no address of this machine (`ip addr` lists them): {OTHER}", address.ip())
        }
        _ => OTHER.to_owned(),
    }
}
