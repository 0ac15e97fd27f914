//! What becomes of a request that is for a server: it goes on, or its answer is known already.

use crate::base::{Era, Error, ErrorKind};
use crate::protocol::method;

use super::asked::Became;
use super::call::ClientCall;
use super::dispatch::Router;
use super::limit::InFlight;
use super::prepare::Round;
use super::request::Request;
use super::resolve::{self, Target};
use super::results::Look;
use super::sending::{self, Forwarded};
use super::{enhancing, mark, state};

/// What has become of a request for a server.
pub(super) enum Way {
    /// Goes on with a call that was parked.
    Parked(Box<ClientCall>, InFlight),
    Sent(Box<Forwarded>),
    /// The server has answered it before; the result, JSON text.
    Known(Vec<u8>),
}

impl Router {
    /// Sends a request on, or finds the parked call that it goes on with. Whom it is for stands in `found` as soon as it is
    /// known, and until it has been sent.
    pub(super) async fn way(
        &self,
        request: &Request,
        place: InFlight,
        found: &mut Option<Target>,
    ) -> Result<Way, Error> {
        let parked = match (request.era, &request.params.request_state) {
            (Era::Modern, Some(_)) => Box::pin(self.parked_call(request, found)).await?,
            _ => None,
        };
        match parked {
            None => self.forward(request, place, found).await,
            Some(call) => Ok(Way::Parked(call, place)),
        }
    }

    async fn forward(
        &self,
        request: &Request,
        place: InFlight,
        found: &mut Option<Target>,
    ) -> Result<Way, Error> {
        let (catalog, fleet) = (&self.0.catalog, &self.0.fleet);
        let target = found.insert(resolve::resolve(request, catalog, fleet, &self.0.tasks).await?);
        place.goes_to(&target.server);
        let tool = target.name.as_deref().filter(|_| request.message.method() == method::TOOLS_CALL);
        self.0.limits.call(target.server.name(), tool)?;
        if let (Some(mirrors), Some(headers)) = (&target.mirrors, &request.headers) {
            mirrors
                .check(request.arguments(), headers)
                .map_err(|what| Error::new(ErrorKind::HeaderMismatch, format!("Header mismatch: {what}")))?;
        }
        if let (Era::Modern, Some(level)) = (request.era, request.log_level) {
            target.server.want_log_level(level);
        }
        let own = target.server.for_caller(&request.caller()).await?;
        let shared = own.is_none();
        if let Some(own) = own {
            target.server = own;
        }
        let mut round = Round::default();
        if let (Era::Modern, Some(span)) = (request.era, &request.params.request_state) {
            round.state = Some(state::open(
                &self.0.key,
                request,
                target.server.name(),
                &request.message.as_str()[span.clone()],
            )?);
        }
        enhancing::enhance(&self.0.enhancer, request, target).await;
        // What one client's own process says is nobody else's to read.
        let look = match shared {
            true => self.0.results.look(request, target, &self.0.catalog).await,
            false => None,
        };
        let keep = match look {
            Some(Look::Hit(result)) => {
                target.cache = Became::Hit.as_str();
                let result = match &target.mark {
                    Some(field) => mark::result(&result.into(), field).to_vec(),
                    None => result,
                };
                return Ok(Way::Known(result));
            }
            Some(Look::Miss(keep, why)) => {
                target.cache = why.as_str();
                Some(keep)
            }
            None => None,
        };
        let sent = sending::send(request, target, &round, 0).await?;
        let target =
            found.take().ok_or_else(|| Error::new(ErrorKind::Internal, "a call was sent nowhere"))?;
        Ok(Way::Sent(Box::new(Forwarded { target, sent, round, keep, place })))
    }
}
