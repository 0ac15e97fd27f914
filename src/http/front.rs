//! What every exchange needs, and the way from a path to who answers it.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use arc_swap::ArcSwap;
use http::{Method, Request, StatusCode};
use hyper::body::Incoming;
use ipnet::IpNet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_service::Service as _;

use crate::base::{Era, Error, ErrorKind, Principal};
use crate::guard::{Access, Caller, Guard, Limits, Policy, Refusal};
use crate::router::{Endpoint, Router};
use crate::session::{Hub, Sessions};
use crate::supervisor::Services;
use crate::telemetry::names;

use super::arrival::{Arrival, Way};
use super::body::{FrontBody, RequestBody};
use super::oldest::{self, Oldest};
use super::origin::{OriginRules, refused};
use super::reply::{FrontResponse, refusal, status};
use super::tls::Encryption;
use super::told::Exchange;
use super::who::Who;
use super::{access, enhance, metadata, pages, post, rest, services, streams};

/// The shared state of the front.
pub struct Front {
    /// Answers requests.
    pub router: Router,
    /// Plain HTTP services.
    pub services: Services,
    /// Says who is calling.
    pub guard: Guard,
    /// Says how often.
    pub limits: Limits,
    /// Says who may use what.
    pub policy: Policy,
    /// Legacy sessions.
    pub sessions: Sessions,
    /// Sessions of the oldest HTTP transport.
    pub oldest: Oldest,
    /// Open streams.
    pub hub: Hub,
    /// Who may talk to us from a browser.
    pub rules: OriginRules,
    /// Whose word on clients behind them is believed.
    pub proxies: ArcSwap<Vec<IpNet>>,
    /// Cap of a request's body in bytes.
    pub max_body: AtomicUsize,
    /// Whether TLS is spoken here.
    pub encryption: Encryption,
    /// Whether MCP is served here, and services.
    pub serves_mcp: bool,
    /// Everything beside MCP: health, metrics, administration.
    pub pages: axum::Router,
    /// Calls whose exchange has gone, or has become a stream.
    pub calls: TaskTracker,
    /// Fires when calls must end because the gateway does.
    pub abort: CancellationToken,
}

impl Front {
    /// Who a caller is, with what the policy says of them by now.
    fn who(&self, caller: &Caller) -> Who {
        Who {
            principal: caller.principal().clone(),
            access: self.policy.access(caller),
            local: caller.is_local(),
        }
    }
}

/// The path of the merged endpoint; servers' own endpoints lie below it.
const MCP: &str = "/mcp";

/// Answers one exchange.
pub async fn exchange(front: Arc<Front>, way: Way, request: Request<Incoming>) -> FrontResponse {
    let noted = Exchange::begin(&request);
    if let Err(why) = front.rules.check(request.headers(), request.uri()) {
        names::HTTP_REJECTIONS.counter(&["origin"]).increment(1);
        let mut response = refused(why);
        noted.tell(front.router.activity(), None, &mut response);
        return response;
    }
    let origin = request.headers().get(http::header::ORIGIN).cloned();
    let mut response = match front.rules.preflight(&request) {
        Some(preflight) => preflight,
        None => answer(&front, way, request, &noted).await,
    };
    noted.tell(front.router.activity(), None, &mut response);
    front.rules.allow(&mut response, origin);
    response
}

/// The credential comes before everything else: whoever is not let in learns nothing, not even which servers there are.
async fn answer(front: &Arc<Front>, way: Way, request: Request<Incoming>, noted: &Exchange) -> FrontResponse {
    let arrival = Arrival::read(way, request.headers(), request.uri(), &front.proxies.load());
    if let Some(metadata) = metadata::answer(&front.guard, &arrival, &request) {
        return metadata;
    }
    let caller = access::caller(front, request.headers(), &arrival).await;
    let path = request.uri().path();
    match caller {
        Ok(caller) => {
            let mut response = admitted(front, &caller, request).await;
            noted.tell(front.router.activity(), Some(caller.principal()), &mut response);
            // What is at hand in one piece goes out as it is.
            if matches!(response.body(), FrontBody::Whole(_)) {
                return response;
            }
            match caller.ended() {
                Some(ended) => response.map(|body| body.until(ended)),
                None => response,
            }
        }
        Err(why) if pages::is_open(path) && !matches!(why, Refusal::Several) => {
            Box::pin(page(front, None, request)).await
        }
        Err(why) => access::refused(front, why, &arrival, path),
    }
}

async fn admitted(front: &Arc<Front>, caller: &Caller, request: Request<Incoming>) -> FrontResponse {
    let who = front.who(caller);
    match endpoint(front, &who.access, request.uri().path()) {
        Some(Ok(endpoint)) => mcp(front, endpoint, who, request).await,
        Some(Err(error)) => {
            let mut response = refusal(&error, Era::Legacy);
            *response.status_mut() = StatusCode::NOT_FOUND;
            response
        }
        // Boxed, as all that is not a call of MCP: its room would be moved through every step of each call.
        None => Box::pin(elsewhere(front, caller, &who, request)).await,
    }
}

/// Answers what is for no MCP endpoint.
async fn elsewhere(
    front: &Arc<Front>,
    caller: &Caller,
    who: &Who,
    request: Request<Incoming>,
) -> FrontResponse {
    if !front.serves_mcp {
        return page(front, Some(caller), request).await;
    }
    match oldest::answer(front, who, request).await {
        Ok(response) => response,
        Err(request) => match services::forward(front, who, request).await {
            Ok(response) => response,
            Err(request) => page(front, Some(caller), request).await,
        },
    }
}

/// Answers one exchange of somebody inside the process, who came through no socket and is known.
pub async fn inside<B: RequestBody>(
    front: Arc<Front>,
    principal: Principal,
    mut request: Request<B>,
) -> FrontResponse {
    request.extensions_mut().insert(Inside);
    let noted = Exchange::begin(&request);
    let who = front.who(&Caller::starter(principal.clone()));
    let mut response = match endpoint(&front, &who.access, request.uri().path()) {
        Some(Ok(endpoint)) => mcp(&front, endpoint, who, request).await,
        Some(Err(error)) => refusal(&error, Era::Legacy),
        None => status(StatusCode::NOT_FOUND),
    };
    noted.tell(front.router.activity(), Some(&principal), &mut response);
    response
}

/// Marks an exchange that came through no socket: its client knows no headers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Inside;

/// The MCP endpoint of a path; `None` for any other path.
fn endpoint(front: &Front, access: &Access, path: &str) -> Option<Result<Endpoint, Error>> {
    let rest = path.strip_prefix(MCP).filter(|_| front.serves_mcp)?;
    let name = match rest.strip_prefix('/') {
        None if rest.is_empty() => return Some(Ok(Endpoint::Merged)),
        None => return None,
        Some("") => return Some(Ok(Endpoint::Merged)),
        // What follows the server's name is a method, for those who speak no MCP.
        Some(name) => name.split('/').next().unwrap_or(name),
    };
    Some(front.router.endpoint(name, access).ok_or_else(|| {
        let known: Vec<String> =
            front.router.endpoints(access).iter().map(|server| format!("/mcp/{server}")).collect();
        let text = format!("there is no MCP endpoint at {path}; there are /mcp and {}", known.join(", "));
        Error::new(ErrorKind::InvalidRequest, text)
    }))
}

async fn mcp<B: RequestBody>(
    front: &Arc<Front>,
    endpoint: Endpoint,
    who: Who,
    request: Request<B>,
) -> FrontResponse {
    if let Some(method) = rest::method_of(request.uri().path()).map(str::to_owned) {
        return Box::pin(rest::answer(front, endpoint, who, &method, request)).await;
    }
    match *request.method() {
        Method::POST => Box::pin(post::answer(front, endpoint, who, request)).await,
        Method::GET => streams::open(front, &endpoint, &who.principal, request.headers()),
        Method::DELETE => streams::delete(front, &endpoint, &who.principal, request.headers()),
        _ => {
            let mut response = status(StatusCode::METHOD_NOT_ALLOWED);
            let allowed = http::HeaderValue::from_static("GET, POST, DELETE, OPTIONS");
            response.headers_mut().insert(http::header::ALLOW, allowed);
            response
        }
    }
}

/// A page; it finds its caller among the request's extensions.
async fn page(front: &Front, caller: Option<&Caller>, mut request: Request<Incoming>) -> FrontResponse {
    if let Some(caller) = caller {
        if enhance::is_costly(&request)
            && let Err(wait) = front.limits.request(caller.principal())
        {
            return services::refusal(&wait.into(), StatusCode::TOO_MANY_REQUESTS);
        }
        request.extensions_mut().insert(front.who(caller));
        request.extensions_mut().insert(caller.clone());
    }
    let answered = front.pages.clone().call(request.map(axum::body::Body::new)).await;
    match answered {
        Ok(response) => response.map(FrontBody::Page),
        Err(never) => match never {},
    }
}
