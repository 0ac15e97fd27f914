//! The router itself: what is answered here, and what goes to a server.

use std::pin::pin;
use std::sync::Arc;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::activity::ActivityLog;
use crate::base::{Era, Error, SealKey, ServerName};
use crate::catalog::CatalogHandle;
use crate::enhance::Enhancer;
use crate::guard::{Access, Limits};
use crate::protocol::{Message, Params};
use crate::supervisor::{Caller, Fleet, ServerHandle, Subscription};
use crate::telemetry::{RequestMetrics, ToolMetrics};
use crate::traces::Traces;

use super::answer::Answer;
use super::call::ClientCall;
use super::finish::Waiting;
use super::forwarding::Way;
use super::limit::Gate;
use super::own;
use super::parked::Parked;
use super::prepare;
use super::record::Story;
use super::request::{Endpoint, Reply, Request};
use super::resolve::{self, Target};
use super::results::Results;
use super::task::Tasks;

/// What the gateway's own answers are counted under.
const OWN_METRICS: &str = "trunkline";

/// One router for all fronts. Cloning is cheap.
#[derive(Clone)]
pub struct Router(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) fleet: Fleet,
    pub(super) catalog: CatalogHandle,
    pub(super) gate: Gate,
    pub(super) parked: Parked,
    pub(super) limits: Limits,
    pub(super) tools: ToolMetrics,
    pub(super) own: RequestMetrics,
    pub(super) key: SealKey,
    pub(super) tasks: Tasks,
    pub(super) results: Results,
    pub(super) enhancer: Enhancer,
    pub(super) activity: ActivityLog,
    pub(super) traces: Traces,
}

/// How a router behaves.
pub struct RouterOptions {
    /// The most requests worked on at once.
    pub max_in_flight: usize,
    /// The most calls of one principal that wait for their client's answers.
    pub max_parked: usize,
    /// How often servers and tools may be used.
    pub limits: Limits,
    /// The most bytes of results that are kept.
    pub result_cache: u64,
    /// Makes prompts in calls better.
    pub enhancer: Enhancer,
    /// Seals what servers leave with clients.
    pub key: SealKey,
    /// Keeps what became of each request.
    pub activity: ActivityLog,
    /// Makes spans of requests.
    pub traces: Traces,
    /// The most tools that are counted apart.
    pub tools: usize,
}

impl Router {
    /// A router with these options.
    pub fn new(fleet: Fleet, catalog: CatalogHandle, options: RouterOptions) -> Router {
        let own = RequestMetrics::for_server(OWN_METRICS);
        let tasks = Tasks::new(options.key.clone());
        let (gate, parked) = (Gate::new(options.max_in_flight), Parked::new(options.max_parked));
        let (limits, enhancer) = (options.limits, options.enhancer);
        let (activity, traces) = (options.activity, options.traces);
        let (key, results) = (options.key, Results::new(options.result_cache));
        let tools = ToolMetrics::new(options.tools);
        Router(Arc::new(Inner {
            fleet,
            catalog,
            gate,
            limits,
            parked,
            tools,
            own,
            key,
            tasks,
            results,
            enhancer,
            activity,
            traces,
        }))
    }

    /// Forgets kept results that have become old, until `shutdown`.
    pub async fn follow_updates(self, shutdown: CancellationToken) {
        self.0.results.clone().follow(&self.0.fleet, shutdown).await;
    }

    /// The endpoint of the server `name`, for somebody who may use anything of it.
    pub fn endpoint(&self, name: &str, access: &Access) -> Option<Endpoint> {
        self.0.fleet.get(name).filter(|_| access.touches(name)).map(Endpoint::Server)
    }

    /// The names of the endpoints that there are for somebody with this access.
    pub fn endpoints(&self, access: &Access) -> Vec<ServerName> {
        let members = self.0.fleet.servers();
        let names = members.iter().map(ServerHandle::name);
        names.filter(|name| access.touches(name.as_str())).cloned().collect()
    }

    /// The fleet behind the router.
    pub fn fleet(&self) -> &Fleet {
        &self.0.fleet
    }

    /// The catalog that the router resolves by.
    pub fn catalog(&self) -> &CatalogHandle {
        &self.0.catalog
    }

    /// What became of requests.
    pub fn activity(&self) -> &ActivityLog {
        &self.0.activity
    }

    /// What makes spans of requests.
    pub fn traces(&self) -> &Traces {
        &self.0.traces
    }

    /// Results that are kept.
    pub fn results(&self) -> &Results {
        &self.0.results
    }

    /// What makes prompts in calls better.
    pub fn enhancer(&self) -> &Enhancer {
        &self.0.enhancer
    }

    /// Requests under way.
    pub fn gate(&self) -> &Gate {
        &self.0.gate
    }

    /// Whether the router has an answer of its own to a request. The asker is the gateway itself: nothing is counted.
    pub async fn answers(&self, request: &Request) -> bool {
        self.0.catalog.settled().await;
        matches!(self.answer_here(request).await, Some(Ok(_)))
    }

    /// Answers a request, or sends it on its way, unless `withdrawn` says first that it is not wanted any more, and why.
    pub async fn dispatch(&self, request: Box<Request>, withdrawn: impl Future<Output = Error>) -> Answer {
        let received = Instant::now();
        let mut withdrawn = pin!(withdrawn);
        if !self.0.catalog.is_settled() {
            tokio::select! {
                () = self.0.catalog.settled() => {}
                why = &mut withdrawn => return Answer::Ready(self.finish(&request, None, Err(why), received)),
            }
        }
        if let Some(outcome) = self.answer_here(&request).await {
            return Answer::Ready(self.finish(&request, None, outcome, received));
        }
        let place = match self.enter(&request, received) {
            Ok(place) => place,
            Err(error) => return Answer::Ready(self.finish(&request, None, Err(error), received)),
        };
        let recalled = place.recalled();
        let mut waiting = Waiting { router: self, request: &request, received, target: None, over: false };
        // A call that waits for its server to come up can be taken back, and then never reaches it.
        let way = tokio::select! {
            biased;
            way = self.way(&request, place, &mut waiting.target) => Some(way),
            () = recalled.heard() => None,
            why = &mut withdrawn => Some(Err(why)),
        };
        waiting.over = true;
        let target = waiting.target.take();
        drop(waiting);
        let Some(way) = way else {
            return Answer::Ready(self.taken_back(&request, target.as_ref(), received));
        };
        match (way, target) {
            (Ok(Way::Parked(call, place)), _) => self.go_on(call, request, place, received),
            (Ok(Way::Sent(sent)), _) => {
                let seals = (self.0.key.clone(), self.0.tasks.clone());
                let capture = sent.target.server.config().capture;
                let story = Story::new(self.0.activity.clone(), received, sent.sent.at, capture);
                let counted = (story, self.tool_series(&request, &sent.target));
                Answer::Call(Box::new(ClientCall::new(request, *sent, seals, counted)))
            }
            (Ok(Way::Known(result)), Some(target)) => {
                Answer::Ready(self.known(&request, &target, &result, received))
            }
            (Ok(Way::Known(result)), None) => {
                Answer::Ready(self.finish(&request, None, Ok(result), received))
            }
            (Err(error), target) => {
                debug!(method = request.message.method(), %error, "refused");
                Answer::Ready(self.finish(&request, target.as_ref(), Err(error), received))
            }
        }
    }

    /// Passes on what a client announces: that its roots have changed, to the servers that have been told of its roots;
    /// anything else at a server's own endpoint, if it is nothing that ends here. A server that is not up misses it, as it
    /// would on any connection that is not there.
    pub async fn pass_notification(
        &self,
        endpoint: &Endpoint,
        (message, params): (&Message, &Params),
        era: Era,
        caller: &Caller<'_>,
    ) {
        for server in own::hearers(&self.0.fleet, endpoint, message.method(), caller) {
            let Some(live) = server.live() else { continue };
            let text = prepare::notification(message, params, (era, live.peer.era()));
            if let Err(fault) = live.link.notify(text).await {
                debug!(method = message.method(), error = %fault.error, "a notification was not delivered");
            }
        }
    }

    /// Subscribes to the resource that a request of a legacy client names, and answers once the server has been told;
    /// `keep` takes the subscription.
    pub async fn subscribe(
        &self,
        request: &Request,
        keep: impl FnOnce(Subscription) -> Result<(), Error>,
    ) -> Reply {
        let received = Instant::now();
        let target = resolve::resolve(request, &self.0.catalog, &self.0.fleet, &self.0.tasks).await;
        let subscribed = match &target {
            Ok(target) => match own::subscribe(target, &request.caller()).await {
                Ok(subscription) => {
                    subscription.settled().await;
                    keep(subscription)
                }
                Err(error) => Err(error),
            },
            Err(error) => Err(error.clone()),
        };
        self.finish(request, target.as_ref().ok(), subscribed.map(|()| b"{}".to_vec()), received)
    }

    /// Subscribes to a resource at an endpoint, without waiting for the server to be told; an error if it is nobody's, or
    /// cannot be subscribed to.
    pub async fn subscribe_to(
        &self,
        endpoint: &Endpoint,
        uri: &str,
        (caller, access): (&Caller<'_>, &Access),
    ) -> Result<Subscription, Error> {
        let target = match endpoint {
            Endpoint::Server(server) if !access.is_full() => {
                resolve::owned_by(uri.into(), server, &self.0.catalog, access)?
            }
            Endpoint::Server(server) => Target { name: Some(uri.to_owned()), ..Target::plain(server) },
            Endpoint::Merged => resolve::owned(uri.into(), &self.0.catalog, access)?,
        };
        own::subscribe(&target, caller).await
    }
}
