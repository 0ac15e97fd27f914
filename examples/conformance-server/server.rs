//! The server as rmcp sees it: which request goes where, and who is to be told of changes.
#![expect(deprecated, reason = "the legacy era's log level and resource subscriptions are what is tested")]

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rmcp::model::*;
use rmcp::service::{
    NotificationContext, Peer, RequestContext, RoleServer, SubscriptionContext, SubscriptionSink,
};
use rmcp::task_manager::TaskManager;
use rmcp::{ErrorData, ServerHandler};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::{Era, dialogs, gate, offers, tasks, tools};

const CACHE_MS: u64 = 60_000;

/// What all sessions have in common.
#[derive(Default)]
pub(crate) struct Shared {
    pub(crate) tasks: TaskManager,
    /// How often the tools, and the prompts, were changed. An odd number shows one more of them.
    pub(crate) tool_changes: AtomicUsize,
    pub(crate) prompt_changes: AtomicUsize,
    /// Calls of `test_slow` that were cancelled.
    pub(crate) cancelled: AtomicUsize,
    watchers: Mutex<Vec<Watcher>>,
    /// Subscriptions that have been accepted, and so are acknowledged or about to be, and do not watch yet: the SDK
    /// acknowledges before it says that somebody listens.
    coming: watch::Sender<usize>,
}

/// One that has not come by then has broken off.
const COMING: Duration = Duration::from_secs(1);

/// One client that is told of changes.
#[derive(Clone)]
enum Watcher {
    Session { peer: Peer<RoleServer>, uris: Arc<Mutex<HashSet<String>>> },
    Subscription(SubscriptionSink),
}

/// What can change.
#[derive(Clone, Copy)]
pub(crate) enum Change<'a> {
    Tools,
    Prompts,
    Resource(&'a str),
}

impl Shared {
    /// Tells everybody who watches, and forgets those who are gone.
    pub(crate) async fn announce(&self, change: Change<'_>) {
        let arrived = timeout(COMING, self.coming.subscribe().wait_for(|coming| *coming == 0)).await.is_ok();
        if !arrived {
            self.coming.send_replace(0);
        }
        let watchers = locked(&self.watchers).clone();
        let mut present = Vec::new();
        for watcher in watchers {
            if watcher.tell(change).await {
                present.push(watcher);
            }
        }
        *locked(&self.watchers) = present;
    }
}

impl Watcher {
    /// Whether the watcher is still there.
    async fn tell(&self, change: Change<'_>) -> bool {
        match self {
            Self::Session { peer, uris } => {
                let sent = match change {
                    Change::Tools => peer.notify_tool_list_changed().await,
                    Change::Prompts => peer.notify_prompt_list_changed().await,
                    Change::Resource(uri) if locked(uris).contains(uri) => {
                        peer.notify_resource_updated(ResourceUpdatedNotificationParam::new(uri)).await
                    }
                    Change::Resource(_) => Ok(()),
                };
                sent.is_ok()
            }
            Self::Subscription(sink) => {
                let sent = match change {
                    Change::Tools => sink.notify_tool_list_changed().await,
                    Change::Prompts => sink.notify_prompt_list_changed().await,
                    Change::Resource(uri) => sink.notify_resource_updated(uri).await,
                };
                !matches!(sent, Err(rmcp::service::SubscriptionSendError::SubscriptionClosed))
            }
        }
    }
}

/// One session of the server; in the modern era, one request.
#[derive(Clone)]
pub(crate) struct Fixture {
    pub(crate) shared: Arc<Shared>,
    era: Era,
    level: Arc<Mutex<LoggingLevel>>,
    uris: Arc<Mutex<HashSet<String>>>,
}

impl Fixture {
    pub(crate) fn new(shared: Arc<Shared>, era: Era) -> Self {
        Self { shared, era, level: Arc::new(Mutex::new(LoggingLevel::Debug)), uris: Arc::default() }
    }

    /// The least level of log notes that this request's client wants; `None` for none at all.
    pub(crate) fn log_level(&self, context: &RequestContext<RoleServer>) -> Option<LoggingLevel> {
        if is_modern(context) { context.meta.log_level() } else { Some(*locked(&self.level)) }
    }
}

pub(crate) fn is_modern(context: &RequestContext<RoleServer>) -> bool {
    context.protocol_version().is_some_and(|version| version >= ProtocolVersion::V_2026_07_28)
}

pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

type Context = RequestContext<RoleServer>;

impl ServerHandler for Fixture {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder()
            .enable_logging()
            .enable_completions()
            .enable_prompts()
            .enable_prompts_list_changed()
            .enable_resources()
            .enable_resources_subscribe()
            .enable_resources_list_changed()
            .enable_tools()
            .enable_tool_list_changed();
        let capabilities =
            if self.era == Era::Legacy { capabilities.build() } else { capabilities.enable_tasks().build() };
        ServerConfig::new(capabilities)
            .with_server_info(Implementation::new("conformance-fixture", env!("CARGO_PKG_VERSION")))
            .with_instructions("Everything that the conformance suite calls.")
    }

    fn supported_protocol_versions(&self) -> Cow<'static, [ProtocolVersion]> {
        Cow::Borrowed(gate::supported(self.era))
    }

    /// The transport checks `Mcp-Param-*` headers against the schema that it gets here.
    fn get_tool(&self, name: &str) -> Option<Tool> {
        tools::list(&self.shared).into_iter().find(|tool| tool.name == name)
    }

    async fn on_initialized(&self, context: NotificationContext<RoleServer>) {
        let watcher = Watcher::Session { peer: context.peer, uris: self.uris.clone() };
        locked(&self.shared.watchers).push(watcher);
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: Context,
    ) -> Result<ListToolsResult, ErrorData> {
        let listed = ListToolsResult::with_all_items(tools::list(&self.shared));
        Ok(listed.with_ttl_ms(CACHE_MS).with_cache_scope(CacheScope::Public))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: Context,
    ) -> Result<CallToolResponse, ErrorData> {
        if dialogs::is_dialog(&request.name) {
            return dialogs::call(request, &context).await;
        }
        if tasks::is_task_tool(&request.name) {
            return tasks::call(&self.shared.tasks, request, &context).await;
        }
        tools::call(self, request, &context).await.map(Into::into)
    }

    async fn list_resources(
        &self,
        _: Option<PaginatedRequestParams>,
        _: Context,
    ) -> Result<ListResourcesResult, ErrorData> {
        let listed = ListResourcesResult::with_all_items(offers::resources());
        Ok(listed.with_ttl_ms(CACHE_MS).with_cache_scope(CacheScope::Public))
    }

    async fn list_resource_templates(
        &self,
        _: Option<PaginatedRequestParams>,
        _: Context,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        let listed = ListResourceTemplatesResult::with_all_items(offers::templates());
        Ok(listed.with_ttl_ms(CACHE_MS).with_cache_scope(CacheScope::Public))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        _: Context,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let read = offers::read(&request.uri)?;
        Ok(read.with_ttl_ms(CACHE_MS).with_cache_scope(CacheScope::Private).into())
    }

    async fn subscribe(&self, request: SubscribeRequestParams, _: Context) -> Result<(), ErrorData> {
        locked(&self.uris).insert(request.uri);
        Ok(())
    }

    async fn unsubscribe(&self, request: UnsubscribeRequestParams, _: Context) -> Result<(), ErrorData> {
        locked(&self.uris).remove(&request.uri);
        Ok(())
    }

    fn accepted_subscription_filter(&self, requested: &SubscriptionFilter) -> Option<SubscriptionFilter> {
        self.shared.coming.send_modify(|coming| *coming += 1);
        Some(requested.clone())
    }

    async fn listen(&self, context: SubscriptionContext) -> Result<(), ErrorData> {
        locked(&self.shared.watchers).push(Watcher::Subscription(context.sink().clone()));
        self.shared.coming.send_modify(|coming| *coming = coming.saturating_sub(1));
        context.cancelled().await;
        Ok(())
    }

    async fn list_prompts(
        &self,
        _: Option<PaginatedRequestParams>,
        _: Context,
    ) -> Result<ListPromptsResult, ErrorData> {
        let changed = self.shared.prompt_changes.load(Ordering::Relaxed) % 2 == 1;
        let listed = ListPromptsResult::with_all_items(offers::prompts(changed));
        Ok(listed.with_ttl_ms(CACHE_MS).with_cache_scope(CacheScope::Public))
    }

    async fn get_prompt(
        &self,
        request: GetPromptRequestParams,
        context: Context,
    ) -> Result<GetPromptResponse, ErrorData> {
        if request.name == dialogs::PROMPT {
            return dialogs::prompt(request, &context).await;
        }
        offers::prompt(&request).map(Into::into)
    }

    async fn complete(
        &self,
        request: CompleteRequestParams,
        _: Context,
    ) -> Result<CompleteResult, ErrorData> {
        offers::complete(&request)
    }

    async fn set_level(&self, request: SetLevelRequestParams, _: Context) -> Result<(), ErrorData> {
        *locked(&self.level) = request.level;
        Ok(())
    }

    async fn get_task(&self, request: GetTaskParams, _: Context) -> Result<GetTaskResult, ErrorData> {
        self.shared.tasks.get_task(&request.task_id).map(GetTaskResult::new)
    }

    async fn update_task(&self, request: UpdateTaskParams, _: Context) -> Result<(), ErrorData> {
        self.shared.tasks.update_task(&request.task_id, request.input_responses)
    }

    async fn cancel_task(&self, request: CancelTaskParams, _: Context) -> Result<(), ErrorData> {
        self.shared.tasks.cancel_task(&request.task_id)
    }
}
