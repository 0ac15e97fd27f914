//! The methods that the gateway knows by name. Any other passes through where only one server can be meant.

macro_rules! methods {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        $($(#[$doc])* pub const $name: &str = $text;)*
    };
}

methods! {
    /// Opens a legacy session.
    INITIALIZE = "initialize";
    /// Tells a legacy server that the session is open.
    INITIALIZED = "notifications/initialized";
    /// Legacy liveness check, either way.
    PING = "ping";
    /// Modern: versions, capabilities, identity.
    DISCOVER = "server/discover";
    /// Modern: a stream of change notifications.
    LISTEN = "subscriptions/listen";
    /// The first message on such a stream.
    ACKNOWLEDGED = "notifications/subscriptions/acknowledged";
    /// Lists tools.
    TOOLS_LIST = "tools/list";
    /// Calls one.
    TOOLS_CALL = "tools/call";
    /// Lists resources.
    RESOURCES_LIST = "resources/list";
    /// Lists resource templates.
    TEMPLATES_LIST = "resources/templates/list";
    /// Reads a resource.
    RESOURCES_READ = "resources/read";
    /// Legacy: asks for updates of a resource.
    SUBSCRIBE = "resources/subscribe";
    /// Legacy: no longer.
    UNSUBSCRIBE = "resources/unsubscribe";
    /// Lists prompts.
    PROMPTS_LIST = "prompts/list";
    /// Gets one.
    PROMPTS_GET = "prompts/get";
    /// Completes an argument.
    COMPLETE = "completion/complete";
    /// Legacy: the lowest log level that the session wants.
    SET_LEVEL = "logging/setLevel";
    /// The client's roots have changed.
    ROOTS_CHANGED = "notifications/roots/list_changed";
    /// Withdraws a request.
    CANCELLED = "notifications/cancelled";
    /// Reports progress of a request.
    PROGRESS = "notifications/progress";
    /// A log line.
    LOG_MESSAGE = "notifications/message";
    /// The list of tools has changed.
    TOOLS_CHANGED = "notifications/tools/list_changed";
    /// The list of resources has changed.
    RESOURCES_CHANGED = "notifications/resources/list_changed";
    /// The list of prompts has changed.
    PROMPTS_CHANGED = "notifications/prompts/list_changed";
    /// A resource has changed.
    RESOURCE_UPDATED = "notifications/resources/updated";
    /// Looks at a task.
    TASKS_GET = "tasks/get";
    /// Legacy: waits for a task's result.
    TASKS_RESULT = "tasks/result";
    /// Withdraws a task.
    TASKS_CANCEL = "tasks/cancel";
    /// Modern: answers a task's questions.
    TASKS_UPDATE = "tasks/update";
    /// Legacy: lists tasks.
    TASKS_LIST = "tasks/list";
    /// Legacy: a task has changed.
    TASK_STATUS = "notifications/tasks/status";
    /// Modern: a task has changed.
    TASK_CHANGED = "notifications/tasks";
    /// A server asks the client's model.
    CREATE_MESSAGE = "sampling/createMessage";
    /// A server asks the user.
    ELICIT = "elicitation/create";
    /// A server asks for the client's roots.
    ROOTS_LIST = "roots/list";
}

/// Methods of earlier versions that the modern era has removed (specification 2026-07-28, changelog).
pub const REMOVED_IN_MODERN: [&str; 7] =
    [INITIALIZE, PING, SET_LEVEL, SUBSCRIBE, UNSUBSCRIBE, TASKS_LIST, TASKS_RESULT];

/// Notifications of a client that end at the gateway: they are about its own session, calls and questions.
pub const ENDING_HERE: [&str; 4] = [INITIALIZED, CANCELLED, PROGRESS, ROOTS_CHANGED];

/// Methods whose modern requests carry `Mcp-Name`: the three of the core, and those of the tasks extension, which
/// name a task.
pub fn is_named(method: &str) -> bool {
    matches!(method, TOOLS_CALL | RESOURCES_READ | PROMPTS_GET) || is_task(method)
}

/// Methods of the tasks extension that name a task.
pub fn is_task(method: &str) -> bool {
    matches!(method, TASKS_GET | TASKS_UPDATE | TASKS_CANCEL)
}

/// Methods of either era that name a task.
pub fn names_task(method: &str) -> bool {
    is_task(method) || method == TASKS_RESULT
}
