//! A server says that headers do not mirror the body: its tool is not what it was. The tools are read again, and the call is
//! sent once more with the headers that they ask for (2026-07-28, `basic/transports/streamable-http`, "Custom Headers").

use std::sync::Arc;

use tokio::time::timeout_at;

use crate::base::Era;
use crate::base::error::code;
use crate::protocol::mirror::Mirrors;
use crate::protocol::{Kind, Message, method, skim};
use crate::supervisor::ServerHandle;
use crate::upstream::Link;

use super::call::ClientCall;
use super::resolve;
use super::sending::send;

impl ClientCall {
    /// Sends the call once more if the server refused its headers and now wants others. Such a call has not been carried
    /// out: headers are checked before.
    pub(super) async fn mirror_anew(&mut self, reply: &Message) -> bool {
        let live = &self.sent.admission.live;
        let refused = reply.kind() == Kind::Error
            && skim::field_text(reply.payload(), "code").and_then(|code| code.parse().ok())
                == Some(code::HEADER_MISMATCH)
            && self.request.message.method() == method::TOOLS_CALL
            && matches!(live.link, Link::Http(_))
            && live.peer.era() == Era::Modern;
        if !refused || std::mem::replace(&mut self.mirrored_anew, true) {
            return false;
        }
        let (server, name) = (self.target.server.clone(), self.target.name.clone().unwrap_or_default());
        let Ok(Some(mirrors)) = timeout_at(self.deadline, mirrors_by_now(&server, &name)).await else {
            return false;
        };
        // The same again would be refused again.
        if mirrors == self.target.mirrors {
            return false;
        }
        self.target.mirrors = mirrors;
        // The place of the first attempt is given back before another is asked for.
        self.sent.admission.release();
        let sent = timeout_at(self.deadline, send(&self.request, &self.target, &self.round, 0)).await;
        match sent {
            Ok(Ok(sent)) => self.sent = sent,
            _ => return false,
        }
        true
    }
}

/// What a tool wants mirrored by what its server lists now; `None` if it lists the tool no more, or nothing at all.
async fn mirrors_by_now(server: &ServerHandle, name: &str) -> Option<Option<Arc<Mirrors>>> {
    if !server.read_tools_anew().await {
        return None;
    }
    let entry = resolve::listed(server, name)?;
    Mirrors::of_tool(&entry).ok().map(|mirrors| mirrors.map(Arc::new))
}
