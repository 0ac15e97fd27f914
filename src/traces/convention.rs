//! What a span is called and what it says: OpenTelemetry's semantic conventions for MCP, as of version 1.41.0 (`gen-ai/mcp`,
//! status "development"), the last that is a part of the general conventions.

/// The schema that the names are from.
pub(super) const SCHEMA: &str = "https://opentelemetry.io/schemas/1.41.0";

pub(super) const METHOD: &str = "mcp.method.name";
pub(super) const VERSION: &str = "mcp.protocol.version";
pub(super) const RESOURCE: &str = "mcp.resource.uri";
pub(super) const TOOL: &str = "gen_ai.tool.name";
pub(super) const PROMPT: &str = "gen_ai.prompt.name";
pub(super) const OPERATION: &str = "gen_ai.operation.name";
pub(super) const EXECUTE_TOOL: &str = "execute_tool";
pub(super) const ID: &str = "jsonrpc.request.id";
pub(super) const STATUS_CODE: &str = "rpc.response.status_code";
pub(super) const ERROR: &str = "error.type";
/// What `error.type` says of a result whose tool says that it failed.
pub(super) const TOOL_ERROR: &str = "tool_error";
pub(super) const TRANSPORT: &str = "network.transport";
pub(super) const PROTOCOL: &str = "network.protocol.name";
pub(super) const ADDRESS: &str = "server.address";
pub(super) const PORT: &str = "server.port";

/// Our own: the configured name of the server.
pub(super) const SERVER: &str = "trunkline.server";
/// Our own: how it ended, in the word that metrics and rows have for it.
pub(super) const OUTCOME: &str = "trunkline.outcome";
/// Our own: whether a kept result was of use.
pub(super) const CACHE: &str = "trunkline.cache";
/// Our own: who ended it early.
pub(super) const CANCELLED_BY: &str = "trunkline.cancelled_by";
