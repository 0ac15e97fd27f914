//! Who is let in, and who may use what: API keys, and what the policy says.

use std::time::SystemTime;

use axum::Json;
use axum::extract::{Extension, Path, State};
use axum::http::{Method, Uri};

use crate::base::Principal;
use crate::catalog::split_name;
use crate::config::{Hints, ItemKind};
use crate::guard::{Caller, Item, explain, spoken_of};

use super::failure::Failure;
use super::gate::tell_refused;
use super::orders::Order;
use super::query::Query;
use super::shape::{Done, Explanation, Key, Keys};
use super::state::Api;

/// All keys. What they are made of is shown to whoever makes one, by `trunkline key new`, and never again.
pub async fn keys(State(api): State<Api>) -> Result<Json<Keys>, Failure> {
    let stored = api.0.parts.store.load_keys().await.map_err(|error| Failure::busy(error.to_string()))?;
    let now = SystemTime::now();
    Ok(Json(Keys { keys: stored.iter().map(|key| Key::of(key, now)).collect() }))
}

/// Revokes those of a name, or the one that begins so. It cannot be taken back, and where many share a machine, being on it says
/// nothing of who somebody is: so it takes a credential, also where other orders do not.
pub async fn revoke(
    State(api): State<Api>,
    caller: Extension<Caller>,
    Path(name): Path<String>,
    uri: Uri,
) -> Result<Json<Done>, Failure> {
    if caller.principal().is_anonymous() {
        let refused = Failure::forbidden(
            "keys are revoked with a credential that has the scope `admin`; or by `trunkline key revoke`, as the gateway's own user",
        );
        tell_refused(Some(&caller), &Method::DELETE, uri.path(), &refused);
        return Err(refused);
    }
    api.order(Order::RevokeKeys(spoken_of(&name).to_owned()), &caller).await
}

/// What may be asked about.
const KINDS: [(&str, ItemKind); 4] = [
    ("tool", ItemKind::Tool),
    ("prompt", ItemKind::Prompt),
    ("resource", ItemKind::Resource),
    ("service", ItemKind::Service),
];

/// Says whether a caller may use something, and which rule decides.
pub async fn policy(State(api): State<Api>, uri: Uri) -> Result<Json<Explanation>, Failure> {
    let kinds = KINDS.map(|(word, _)| word);
    let query = Query::of(&uri, &[&["principal", "scope", "read_only", "not_destructive"], &kinds])?;
    let principal = query.get("principal").filter(|name| !name.is_empty());
    let principal = principal.ok_or_else(|| Failure::invalid("say who: ?principal=key:NAME"))?;
    let mut items = KINDS.iter().filter_map(|(word, kind)| Some((*word, *kind, query.get(word)?)));
    let (Some((word, kind, item)), None) = (items.next(), items.next()) else {
        return Err(Failure::invalid(format!("say what, as one of: {}", kinds.join(", "))));
    };
    let whole = (kind == ItemKind::Service).then_some((item, ""));
    let (server, name) =
        whole.or_else(|| item.split_once('/')).or_else(|| split_name(item)).ok_or_else(|| {
            Failure::invalid(format!("'{item}' names no server; write github__search or github/search"))
        })?;
    match kind {
        ItemKind::Service => drop(api.service(server)?),
        _ => drop(api.server(server)?),
    }
    let yes = |name| {
        let given = query.read(name, |text| text.parse::<bool>().ok(), "true or false");
        given.map(|given| given.filter(|yes| *yes))
    };
    let hints = Hints::new(yes("read_only")?, yes("not_destructive")?.map(|_| false));
    let scopes = query.get("scope").unwrap_or_default().split_whitespace().map(str::to_owned).collect();
    let caller = Caller::known(Principal::named(principal), scopes);
    let parts = &api.0.parts;
    let item = Item { kind, server, name, hints };
    let told = explain(&parts.policy, &caller, item, &parts.settings.borrow());
    Ok(Json(Explanation {
        allowed: told.allowed,
        principal: principal.to_owned(),
        kind: word.to_owned(),
        server: server.to_owned(),
        name: name.to_owned(),
        key: told.key,
        pattern: told.pattern,
        place: told.place,
        reason: told.reason,
        by_hints: told.by_hints,
    }))
}
