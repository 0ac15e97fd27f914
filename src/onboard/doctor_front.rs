//! What clients meet: the address and the certificate.

use std::error::Error;
use std::io::ErrorKind;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full, Limited};
use tokio::net::TcpListener;
use tokio::time::timeout;

use crate::config::{Gateway, Listening};
use crate::upstream::http::{ClientOptions, HttpClient};

use super::finding::Finding;

/// A daemon on this machine answers at once, or is in trouble.
const ANSWER_WAIT: Duration = Duration::from_secs(3);
/// More than the whole answer of `/readyz`.
const ANSWER_BYTES: usize = 64 * 1024;
/// Time to renew a certificate before clients refuse it.
const SOON: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// The certificate's dates, and who may read its key.
pub(super) fn certificate(gateway: &Gateway, tell: &mut impl FnMut(Finding)) {
    let about = "certificate";
    let Some((tls, identity)) = gateway.tls.as_ref().and_then(|tls| Some((tls, tls.identity.as_ref()?)))
    else {
        return;
    };
    let (file, key) = (tls.certificate.display(), tls.key.display());
    let renew = "renew it, and reload the gateway";
    let now = SystemTime::now();
    if identity.is_exposed() {
        let what = format!("everybody on this machine may read its private key, {key}");
        tell(Finding::warning(about, what, format!("chmod o-rwx '{key}'")));
    }
    match (identity.out_of_date(now), identity.out_of_date(now + SOON)) {
        (Some(problem), _) => tell(Finding::fault(about, format!("that in {file} {problem}"), renew)),
        (None, Some(_)) => {
            tell(Finding::warning(about, format!("that in {file} expires within a week"), renew))
        }
        (None, None) => {
            let names = identity.names().join(", ");
            let names = if names.is_empty() { String::new() } else { format!(", for {names}") };
            tell(Finding::good(about, format!("{file}{names}")));
        }
    }
}

pub(super) async fn address(gateway: &Gateway, tell: &mut impl FnMut(Finding)) {
    let address = gateway.listen;
    let about = "address";
    let error = match TcpListener::bind(address).await {
        Ok(_) => return tell(Finding::good(about, format!("{address} is free"))),
        Err(error) => error,
    };
    let other_port = "choose another with gateway.listen or --listen";
    match error.kind() {
        ErrorKind::AddrInUse => match timeout(ANSWER_WAIT, is_ours(&Listening::of(gateway))).await {
            Ok(Ok(true)) => tell(Finding::good(about, format!("a gateway answers at {address}"))),
            _ => tell(Finding::fault(
                about,
                format!("{address} is taken by another program"),
                format!("stop it (`ss -ltnp 'sport = :{}'` names it), or {other_port}", address.port()),
            )),
        },
        ErrorKind::PermissionDenied => tell(Finding::fault(
            about,
            format!("this user may not listen on {address}"),
            format!("ports below 1024 are the system's; {other_port}"),
        )),
        ErrorKind::AddrNotAvailable => tell(Finding::fault(
            about,
            format!("{} is no address of this machine", address.ip()),
            "write 127.0.0.1 for this machine alone, or an address that `ip addr` shows",
        )),
        _ => tell(Finding::fault(about, format!("{address} cannot be listened on: {error}"), other_port)),
    }
}

/// Whether what answers there is a gateway of ours.
async fn is_ours(there: &Listening) -> Result<bool, Box<dyn Error>> {
    // Nothing is told but that somebody asks; its certificate is made out to the name that its clients use.
    let options = ClientOptions {
        https: there.tls,
        trust_anybody: true,
        connect_timeout: ANSWER_WAIT,
        ..ClientOptions::default()
    };
    let client = HttpClient::new(&options)?;
    let request = Request::get(format!("{}/readyz", there.base())).body(Full::<Bytes>::default())?;
    let answer = client.request(request).await?.into_body();
    let answer =
        Limited::new(answer, ANSWER_BYTES).collect().await.map_err(|error| error.to_string())?.to_bytes();
    let text = String::from_utf8_lossy(&answer);
    Ok(text.contains("\"servers\"") && text.contains("\"status\""))
}
