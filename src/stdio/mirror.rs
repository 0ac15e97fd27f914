//! What a client on a pipe need not know: the headers into which an HTTP client mirrors a tool's parameters.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use http::{HeaderName, HeaderValue};

use crate::protocol::mirror::Mirrors;
use crate::protocol::{Message, Params, params, skim};

/// Annotated tools that are remembered. Those beyond are looked up when their calls are refused.
const MAX_TOOLS: usize = 10_000;

/// Tools with annotations, by the names that the client knows them by.
#[derive(Debug, Default)]
pub(super) struct Known(Mutex<HashMap<String, Arc<Mirrors>>>);

impl Known {
    /// Takes what a result of `tools/list` says.
    pub fn learn(&self, result: &str) {
        let Some(tools) = skim::field_text(result, "tools") else { return };
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // What is no list has no tools.
        let _ = skim::each_element(tools, |span| {
            let tool = &tools[span];
            if let Some(name) = skim::string_field(tool, "name") {
                match Mirrors::of_tool(tool) {
                    Ok(Some(mirrors)) if known.len() < MAX_TOOLS => {
                        known.insert(name.into_owned(), Arc::new(mirrors));
                    }
                    _ => {
                        known.remove(&*name);
                    }
                }
            }
            Ok(())
        });
    }

    /// The headers that mirror a call.
    pub fn headers(&self, message: &Message, params: &Params) -> Vec<(HeaderName, HeaderValue)> {
        let name = params::string_at(message, &params.name);
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mirrors = name.and_then(|name| known.get(&*name).cloned());
        drop(known);
        let arguments = params.arguments.clone().map_or("{}", |span| &message.as_str()[span]);
        mirrors.map(|mirrors| mirrors.headers(arguments)).unwrap_or_default()
    }
}
