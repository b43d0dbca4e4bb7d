"""Types of what the daemon takes and answers. Made by `generate.py` from the OpenAPI documents: edit neither.

Answers may have members beyond these; they are kept. Names of `/api` begin with `Api`.
"""

from __future__ import annotations

from typing import Any, Dict, List, Literal, TypedDict, Union

__all__ = [
    "Activity",
    "ActivityCall",
    "ActivityEnd",
    "ActivityKept",
    "ApiAddServerBody",
    "ApiBeginLoginBody",
    "ApiDone",
    "ApiErrorResponse",
    "ApiExportConfigBody",
    "ApiFinishLoginBody",
    "ApiFinishReason",
    "ApiImportConfigBody",
    "ApiKey",
    "ApiLeftOutTool",
    "ApiLogin",
    "ApiQueryAnswer",
    "ApiRunQueryBody",
    "ApiServer",
    "ApiServerList",
    "ApiStatus",
    "ApiStep",
    "ApiTokenEvent",
    "ApiTokenUsage",
    "ApiTool",
    "ApiToolCallEvent",
    "ApiToolList",
    "ApiToolResultEvent",
    "ApiUpdateServerBody",
    "ApproveToolsBody",
    "AuditEnd",
    "AuditEntry",
    "BlockedToolDetails",
    "BreakerDetails",
    "BreakerState",
    "CallDialect",
    "CallGap",
    "CallKind",
    "CallPhase",
    "ContentBlock",
    "CreateKeyBody",
    "CreateKeyBodyLimits",
    "CreateKeyBodyMember",
    "CreateKeyBodyPermissions",
    "CreateMemberBody",
    "DoctorReport",
    "EffectiveSetting",
    "Error",
    "ErrorDetails",
    "ErrorResponse",
    "FieldProblems",
    "Finding",
    "Health",
    "InternalErrorDetails",
    "Invocation",
    "InvocationMetadata",
    "InvokeToolBody",
    "KeyLimits",
    "KeyMaker",
    "KeyRevocation",
    "KeyStatus",
    "KeyUsage",
    "LimitDetails",
    "LineOfKey",
    "LogEnd",
    "LogEndReason",
    "LogGap",
    "LogLine",
    "LogStream",
    "Mcp",
    "McpDetail",
    "McpState",
    "McpStatus",
    "Member",
    "MemberRemoval",
    "MissingSecretDetails",
    "NewApiKey",
    "NotRepeated",
    "NotRepeatedDetails",
    "Organization",
    "OrganizationLimits",
    "OrganizationSettings",
    "OrganizationUsage",
    "Outcome",
    "Output",
    "Pagination",
    "PendingUpdate",
    "Permissions",
    "PinCounts",
    "PinMode",
    "PinState",
    "PinnedTool",
    "Pins",
    "Plan",
    "PlanRemoval",
    "Pools",
    "ProcessState",
    "PutPlanBody",
    "PutSecretBody",
    "ReadResourceBody",
    "Replica",
    "Resource",
    "ResourceMetadata",
    "ResourceTemplate",
    "Resources",
    "Role",
    "RotateKeyBody",
    "RotatedApiKey",
    "RpcFailure",
    "Secret",
    "SecretChange",
    "SecretRemoval",
    "ServerInfo",
    "Severity",
    "Source",
    "StartPhase",
    "Stats",
    "Supervision",
    "TimeoutDetails",
    "Tool",
    "ToolDifference",
    "ToolFailure",
    "ToolPermissions",
    "Traffic",
    "Transport",
    "Tree",
    "UnreachableDetails",
    "UpdateKeyBody",
    "UpdateKeyBodyLimits",
    "UpdateKeyBodyPermissions",
    "UpdateMemberBody",
    "Usage",
    "UsageBucket",
    "UsageByApiKey",
    "UsageByDay",
    "UsageByMcp",
    "UsageByStatus",
    "UsageByTool",
    "UsageBytes",
    "UsageGroup",
    "UsagePeriod",
    "UsageRequests",
    "UsageResolution",
]


class Activity(TypedDict):
    """A page of calls."""

    calls: List[ActivityCall]
    """Calls, the newest first."""

    next_cursor: Union[int, None]
    """Value of `cursor` for the next page; `null` if there are no further calls."""

    kept: ActivityKept
    """Which calls are kept, matching or not."""


class ActivityCall(TypedDict):
    """A call that has ended."""

    number: int
    """Number, which counts up from the gateway's start in the order in which calls end."""

    started_at: str
    """Time when it began, to the millisecond."""

    duration_ms: float
    """Duration in milliseconds, to the microsecond."""

    dialect: CallDialect
    """Dialect that it was made in."""

    kind: CallKind
    """What was asked for."""

    mcp_id: Union[str, None]
    """Id of the MCP; `null` if there was none of the name."""

    mcp_name: str
    """Name of the MCP then."""

    tool: Union[str, None]
    """Name of the tool; `null` for what is no tool."""

    outcome: str
    """Outcome: `ok`, `tool_error`, `cancelled`, or a word of the table in `docs/errors.md`."""

    reached: bool
    """`true` if it may have reached the MCP; otherwise it does not count as used."""

    member_id: str
    """Id of the member that called."""

    key_id: str
    """Id of the key, or of what stands in its place."""

    key_name: str
    """Name of the key then."""

    request_id: str
    """Request id, as in the answer's `X-Request-Id`."""


class ActivityEnd(TypedDict):
    """Last line of an export of activity, without which it is not whole."""

    end: Literal[True]
    """`true`."""

    calls: int
    """Number of calls before it."""


class ActivityKept(TypedDict):
    """Which calls are kept."""

    calls: int
    """Number of calls that are kept now."""

    most: int
    """Most calls that are kept, `activity.calls`; `0` if none are."""

    complete_since: str
    """Time from which no call is missing: that of the oldest one, or of the gateway's start."""


class ApiKey(TypedDict):
    """An API key, without its text."""

    id: str
    """Id, which begins with `key_`."""

    name: str
    """Name, which need not be unique."""

    description: Union[str, None]
    """Description; `null` if there is none."""

    prefix: str
    """First characters of the key's text, by which its holder can tell it."""

    status: KeyStatus
    """Status of the key."""

    created_at: str
    """Time at which it was made."""

    last_used: Union[str, None]
    """Time at which it was last used; `null` if it never was."""

    expires_at: Union[str, None]
    """Time from which on it is refused; `null` if it does not expire."""

    revoked_at: Union[str, None]
    """Time at which it was revoked; `null` if it was not."""

    owner_id: str
    """Id of the member that owns it, with whose role it acts."""

    created_by: Union[KeyMaker, None]
    """Key that made it; `null` for the first key, and where that was not recorded."""

    permissions: Permissions
    """MCPs and tools that it may use."""

    limits: KeyLimits
    """Limits of its own, beside those of its owner's plan."""

    rotated_at: Union[str, None]
    """Time at which it was given its current text; `null` if it still has its first one."""

    previous_key_until: Union[str, None]
    """Time until which its earlier text is accepted as well; `null` if it is not accepted."""

    usage: KeyUsage
    """Numbers of its calls."""


class _AuditEndAlways(TypedDict):
    end: Literal[True]
    """`true`."""

    entries: int
    """Number of entries before it."""


class AuditEnd(_AuditEndAlways, total=False):
    """Last line of an export, without which it is not whole."""

    damaged: int
    """Number of entries that a disk has damaged, which are left out; absent if there are none."""


class _AuditEntryAlways(TypedDict):
    number: int
    """Number of the entry, which counts up."""

    at: str
    """Time at which it was recorded."""

    action: str
    """Name of the act, such as `key.create` or `server.restart`."""

    target: str
    """Id, name or path of what it was done to."""

    outcome: Outcome
    """Result."""


class AuditEntry(_AuditEntryAlways, total=False):
    """An act or a refusal, as the audit has it."""

    status: int
    """HTTP status of the answer; absent if there was none."""

    member_id: str
    """Id of the member who asked; absent if it is not known."""

    key_id: str
    """Id of the key that was used; absent if it is not known."""

    peer: str
    """Address that the request came from; absent for acts of the gateway itself."""

    uid: int
    """User of the gateway's machine who sent the request; absent if it is not known."""

    request_id: str
    """Request id, as in the answer's `X-Request-Id`."""

    details: Dict[str, Any]
    """Further particulars of the act; absent if there are none."""


class BlockedToolDetails(TypedDict):
    """Code `tool_blocked`: the tool is not as it was approved."""

    change: PinState
    """State of the tool."""


class BreakerDetails(TypedDict):
    """Code `service_unavailable` of an MCP that did not answer its last calls."""

    breaker: Literal['open']
    """The word `open`."""


class CallGap(TypedDict):
    """Calls that went before the reader of a stream could have them."""

    calls: int
    """Number of these calls, matching or not."""


class DoctorReport(TypedDict):
    """What is wrong."""

    findings: List[Finding]
    """Findings, the gravest first; empty if nothing was found."""


class EffectiveSetting(TypedDict):
    """A setting that is in force, as it is told."""

    setting: str
    """Its name, as in `server.port`."""

    value: Union[str, None]
    """Its value as it would be written in the configuration file; `None` if it is not set and has no fixed
    default.
    """

    origin: str
    """Where it comes from: `default`, a file with the line, or a variable."""


class _ErrorAlways(TypedDict):
    code: str
    """Word for programs, such as `invalid_request`, `not_found` or `mcp_unreachable`. Further ones may be added;
    `docs/errors.md` has them all.
    """

    message: str
    """Text for people."""


class Error(_ErrorAlways, total=False):
    """Description of an error."""

    details: ErrorDetails
    """Particulars of this error; absent if there are none."""


class ErrorResponse(TypedDict):
    """An answer that is not a success."""

    success: Literal[False]
    """`false`."""

    error: Error
    """Description of the error."""


class Finding(TypedDict):
    """Something that is wrong, with what to do about it."""

    severity: Severity
    """Weight of it."""

    server: Union[str, None]
    """Name of the server; `null` if it is about the gateway itself."""

    place: str
    """What it is about: a member of the definition, a setting, or `state`."""

    fault: Union[str, None]
    """Id of the fault, which stays the same when sentences change; `null` if it is none that is known.
    `docs/doctor.md` lists them.
    """

    cause: str
    """What is wrong."""

    fix: Union[str, None]
    """What to do about it; `null` if nothing is known."""

    command: Union[str, None]
    """Command that helps to find out or to mend it; `null` if there is none."""


class InternalErrorDetails(TypedDict):
    """Code `internal_error`: a defect of the gateway."""

    request_id: str
    """Id of the request, by which the gateway's log tells more."""


class Invocation(TypedDict):
    """Result of a tool call."""

    result: Any
    """The tool's structured content, if it has any; else, of a single text, the JSON object or array in it, or
    the text; else the content as it is.
    """

    metadata: InvocationMetadata
    """Particulars of the call."""

    content: List[ContentBlock]
    """Content of the tool's answer, as the MCP sent it."""

    is_error: Literal[False]
    """`false`: a tool that reports an error is answered with status 422."""


class InvocationMetadata(TypedDict):
    """Particulars of a tool call."""

    mcp_id: str
    """Id of the MCP, also where it was addressed by its name."""

    tool: str
    """Name of the tool."""

    latency_ms: int
    """Time to the MCP's answer, in milliseconds."""

    timestamp: str
    """Time of the answer."""


class KeyLimits(TypedDict):
    """Limits that a key has of its own, beside those of its owner's plan. The default for keys holds where it
    has none.
    """

    requests_per_second: Union[int, None]
    """Number of requests in a second; `null` for the default."""

    monthly_requests: Union[int, None]
    """Number of calls in a month (UTC); `null` for the default."""

    calls_at_once: Union[int, None]
    """Number of calls that may be under way at the same time; `null` for the default."""


class KeyMaker(TypedDict):
    """Maker of a key."""

    key_id: str
    """Id of the key with which it was made."""

    member_id: str
    """Id of the member whose key that is."""


class _KeyRevocationAlways(TypedDict):
    id: str
    """Id of the key."""

    status: KeyStatus
    """Status of the key now."""

    revoked_at: Union[str, None]
    """Time at which it was revoked; `null` if it is not, or is not kept any more."""

    revoked_keys: List[str]
    """Ids of all keys that this request has revoked."""

    durable: bool
    """`true` if the revocation would outlive a restart of the gateway. It is in force in any case."""


class KeyRevocation(_KeyRevocationAlways, total=False):
    """Answer to the revocation of a key."""

    warning: str
    """Advice for the case that it would not; absent otherwise."""


class KeyUsage(TypedDict):
    """Numbers of a key's calls."""

    total_requests: int
    """Number of all its calls."""

    requests_today: int
    """Number of its calls since midnight (UTC)."""


class _LimitDetailsAlways(TypedDict):
    resource: str
    """Name of the limit, such as `api_keys` or `monthly_requests`."""

    limit: int
    """Number that it allows."""


class LimitDetails(_LimitDetailsAlways, total=False):
    """Code `quota_exceeded`: a limit of a plan or of a key is reached."""

    of: Literal['key']
    """The word `key` where it is the key's own limit; absent otherwise."""


class LineOfKey(TypedDict):
    """The calls of one key that wait."""

    key_id: str

    key_name: Union[str, None]
    """Its name; `null` if the key is gone."""

    waiting: int
    """Number of its calls that wait for a place."""


class LogEnd(TypedDict):
    """End of the stream of a log."""

    reason: LogEndReason
    """Reason why it ends."""


class LogGap(TypedDict):
    """Lines of a log that the reader of a stream has missed."""

    lines: int
    """Number of these lines."""


class _LogLineAlways(TypedDict):
    at: str
    """Time at which it was read."""

    incarnation: int
    """Number of the process that wrote it."""

    stream: LogStream
    """Source of the line."""

    number: int
    """Number of the line, which counts up."""

    line: str
    """Text of the line. Characters that are not seen are written as `\\u{…}`."""


class LogLine(_LogLineAlways, total=False):
    """A line that one of an MCP's processes wrote beside its answers."""

    pool: str
    """Session or principal whose own process wrote it, such as `session 7`; absent for a process that all share."""


class _McpAlways(TypedDict):
    id: str
    """Id, which begins with `mcp_`. It stays when the definition changes and is never used again."""

    name: str
    """Unique name. Wherever an MCP is addressed, its name does as well as its id."""

    endpoint_url: Union[str, None]
    """Address of a remote MCP, without what may be a secret in it; `null` for one that runs on the gateway's
    machine.
    """

    description: Union[str, None]
    """Description from its definition; `null` if there is none."""

    status: McpStatus
    """Availability: `inactive` if the operator has switched it off, or if it is remote."""

    health: Health
    """Health, as `state` and earlier crashes show it."""

    created_at: str
    """Time at which it was added."""

    last_active: Union[str, None]
    """Time at which a call last ended; `null` before the first."""

    request_count: int
    """Number of its calls."""

    transport: Transport
    """Way in which the gateway speaks to it."""

    enabled: bool
    """`false` if it is switched off in its definition, by `disabled`."""

    state: ProcessState
    """State of its process."""

    since: str
    """Time at which the state began."""

    cause: Union[str, None]
    """Reason why it does not run, for people; `null` if there is none. It begins with `last: ` while it is
    started again.
    """

    restarts: int
    """Number of times that its process was started in place of an earlier one."""

    protocol_version: Union[str, None]
    """Version of MCP that it speaks; `null` before its first start."""

    server_info: Union[ServerInfo, None]
    """Name and version that it gives itself; `null` before its first start."""

    tools_count: int
    """Number of tools that this key may use."""

    resources_count: int
    """Number of resources that it announces."""

    prompts_count: int
    """Number of prompts that it announces."""


class Mcp(_McpAlways, total=False):
    """An MCP server."""

    phase: StartPhase
    """Progress of the start; only while `state` is `starting`."""

    cause_code: Union[str, None]
    """The same as one word, which stays the same when sentences change: `refused`, `exited`, `unauthorized` and
    others.
    """

    fault: Union[str, None]
    """Id of the fault, where it is a known one; it stays the same when sentences change. `docs/doctor.md` lists
    them.
    """

    fix: Union[str, None]
    """What to do about it, for people; absent where the fault is not a known one."""


class _McpDetailAlways(TypedDict):
    id: str
    """Id, which begins with `mcp_`. It stays when the definition changes and is never used again."""

    name: str
    """Unique name. Wherever an MCP is addressed, its name does as well as its id."""

    endpoint_url: Union[str, None]
    """Address of a remote MCP, without what may be a secret in it; `null` for one that runs on the gateway's
    machine.
    """

    description: Union[str, None]
    """Description from its definition; `null` if there is none."""

    status: McpStatus
    """Availability: `inactive` if the operator has switched it off, or if it is remote."""

    health: Health
    """Health, as `state` and earlier crashes show it."""

    created_at: str
    """Time at which it was added."""

    last_active: Union[str, None]
    """Time at which a call last ended; `null` before the first."""

    request_count: int
    """Number of its calls."""

    transport: Transport
    """Way in which the gateway speaks to it."""

    enabled: bool
    """`false` if it is switched off in its definition, by `disabled`."""

    state: ProcessState
    """State of its process."""

    since: str
    """Time at which the state began."""

    cause: Union[str, None]
    """Reason why it does not run, for people; `null` if there is none. It begins with `last: ` while it is
    started again.
    """

    restarts: int
    """Number of times that its process was started in place of an earlier one."""

    protocol_version: Union[str, None]
    """Version of MCP that it speaks; `null` before its first start."""

    server_info: Union[ServerInfo, None]
    """Name and version that it gives itself; `null` before its first start."""

    tools_count: int
    """Number of tools that this key may use."""

    resources_count: int
    """Number of resources that it announces."""

    prompts_count: int
    """Number of prompts that it announces."""

    health_checked_at: Union[str, None]
    """Time since which `state` is what it is; `null` while `health` is `unknown`."""

    updated_at: str
    """Time at which its definition was last changed."""

    stats: Stats
    """Numbers of its calls."""

    supervision: Supervision
    """State of its processes, for whoever has to find out why it does not work."""

    traffic: Traffic
    """Calls at this moment."""

    output: Output
    """Counts of what its processes wrote beside answers to calls, since the gateway was started."""

    tree: Tree
    """Resources that its processes use at this moment."""

    pins: PinCounts
    """Numbers of tools that are not as they were approved."""

    tools: List[Tool]
    """Tools that this key may use, as the MCP last announced them."""


class McpDetail(_McpDetailAlways, total=False):
    """An MCP server with its tools and how it fares."""

    phase: StartPhase
    """Progress of the start; only while `state` is `starting`."""

    cause_code: Union[str, None]
    """The same as one word, which stays the same when sentences change: `refused`, `exited`, `unauthorized` and
    others.
    """

    fault: Union[str, None]
    """Id of the fault, where it is a known one; it stays the same when sentences change. `docs/doctor.md` lists
    them.
    """

    fix: Union[str, None]
    """What to do about it, for people; absent where the fault is not a known one."""


class _McpStateAlways(TypedDict):
    state: ProcessState
    """State of its process."""

    cause: Union[str, None]
    """Reason why it does not run, for people; `null` if there is none."""

    restarts: int
    """Number of times that its process was started in place of an earlier one."""

    since: str
    """Time at which the state began."""

    incarnation: int
    """Number of the current or last process; 0 before the first."""

    pid: Union[int, None]
    """Process id; `null` if none runs."""

    failures: int
    """Number of failed starts and crashes in a row."""

    crash_loop: bool
    """`true` after so many of them that another start is unlikely to help."""

    next_start_at: Union[str, None]
    """Time of the next start; `null` if none is due."""

    last_exit: Union[str, None]
    """Reason why the last process ended, for people; `null` if it was stopped on request."""

    last_stderr: List[str]
    """Last lines that the last ended process wrote on its standard error, newest last."""

    replicas: List[Replica]
    """Processes, where an MCP may have several; empty while it rests."""


class McpState(_McpStateAlways, total=False):
    """State of an MCP that could not be reached, in the error that says so."""

    cause_code: Union[str, None]
    """The same as one word, which stays the same when sentences change: `refused`, `exited`, `unauthorized` and
    others.
    """

    fault: Union[str, None]
    """Id of the fault, where it is a known one; it stays the same when sentences change. `docs/doctor.md` lists
    them.
    """

    fix: Union[str, None]
    """What to do about it, for people; absent where the fault is not a known one."""

    first_stderr: List[str]
    """First lines that the last ended process wrote on its standard error, without those of `last_stderr`;
    absent if there are none.
    """

    remarks: List[str]
    """Remarks about an MCP that works all the same, such as that it offers no tools; absent if there are none."""

    unenforced: List[str]
    """Limits of its definition that the gateway's machine does not, or not fully, enforce; absent if there are
    none.
    """

    pools: Pools
    """Processes of sessions and principals, where they do not share those of the MCP; absent if they do."""

    update: Union[PendingUpdate, None]
    """State of a changed definition while the earlier one still serves; absent if there is no such change."""


class Member(TypedDict):
    """A member of the organization."""

    id: str
    """Id, by which keys name their owner."""

    email: Union[str, None]
    """Email address; `null` if none was given."""

    name: str
    """Name for people."""

    role: Role
    """Role, with which all its keys act."""

    plan: Union[str, None]
    """Name of a plan of its own; `null` for the organization's."""

    source: Source
    """Place where it was made and can be changed."""

    joined_at: str
    """Time at which it was made."""

    last_active: Union[str, None]
    """Time at which one of its keys was last used; `null` if none was."""


class _MemberRemovalAlways(TypedDict):
    id: str
    """Id of the member."""

    status: Literal['removed']
    """The word `removed`."""

    keys_revoked: int
    """Number of its keys that this has revoked."""

    durable: bool
    """`true` if the removal would outlive a restart of the gateway. It is in force in any case."""


class MemberRemoval(_MemberRemovalAlways, total=False):
    """Answer to the removal of a member."""

    warning: str
    """Advice for the case that it would not; absent otherwise."""


class MissingSecretDetails(TypedDict):
    """Code `secret_missing`: the MCP needs a secret of the caller's member that is not stored."""

    secret: str
    """Name of the secret."""


class NewApiKey(TypedDict):
    """An API key that was just made, with its text, which is shown this once."""

    id: str
    """Id, which begins with `key_`."""

    name: str
    """Name, which need not be unique."""

    description: Union[str, None]
    """Description; `null` if there is none."""

    key: str
    """Text of the key, to be sent as `Authorization: Bearer`. It is not shown again."""

    prefix: str
    """First characters of the key's text, by which its holder can tell it."""

    status: Literal['active']
    """Status of the key."""

    created_at: str
    """Time at which it was made."""

    expires_at: Union[str, None]
    """Time from which on it is refused; `null` if it does not expire."""

    owner_id: str
    """Id of the member that owns it, with whose role it acts."""

    created_by: Union[KeyMaker, None]
    """Key that made it."""

    permissions: Permissions
    """MCPs and tools that it may use."""

    limits: KeyLimits
    """Limits of its own, beside those of its owner's plan."""


class NotRepeatedDetails(TypedDict):
    """Code `conflict` of a call with an `Idempotency-Key` that is known."""

    idempotency: NotRepeated
    """Reason that there is no reply."""

    phase: CallPhase
    """The word `in_flight`: the MCP may have carried the call out."""


class Organization(TypedDict):
    """The organization that the gateway serves."""

    id: str
    """Id."""

    name: str
    """Name for people."""

    slug: str
    """Name for addresses: lower-case letters, digits and `-`."""

    description: Union[str, None]
    """Description; `null` if there is none."""

    plan: str
    """Name of its plan."""

    created_at: str
    """Time at which it was made."""

    settings: OrganizationSettings
    """Settings."""

    limits: OrganizationLimits
    """Limits of its plan."""

    usage: OrganizationUsage
    """Numbers that count against the limits."""


class OrganizationLimits(TypedDict):
    """Limits of the organization's plan; `null` is unlimited."""

    mcps: Union[int, None]
    """Number of MCPs."""

    api_keys: Union[int, None]
    """Number of API keys."""

    team_members: Union[int, None]
    """Number of members."""

    monthly_requests: Union[int, None]
    """Number of calls in a month (UTC)."""


class OrganizationSettings(TypedDict):
    """Settings of the organization."""

    pin_protection: bool
    """Protection of the dashboard by a PIN, which this gateway does not have: `false`."""


class OrganizationUsage(TypedDict):
    """Numbers that count against the limits of the organization's plan."""

    mcps: int
    """Number of MCPs."""

    api_keys: int
    """Number of API keys."""

    team_members: int
    """Number of members."""

    monthly_requests: int
    """Number of calls in this month (UTC)."""


class Output(TypedDict):
    """Counts of what an MCP's processes wrote beside answers to calls."""

    stderr_lines: int
    """Number of lines on standard error."""

    stdout_noise_lines: int
    """Number of lines on standard output that were no messages of MCP."""

    late_replies: int
    """Number of answers to calls that were no longer waited for."""

    lines_left_out: int
    """Number of lines that the log did not keep because there were too many."""


class Pagination(TypedDict):
    """Place of a page in its list."""

    page: int
    """Number of this page, from 1."""

    per_page: int
    """Number of entries on a page, at most 100."""

    total: int
    """Number of entries on all pages."""

    total_pages: int
    """Number of pages; 0 without any entries."""


class _PendingUpdateAlways(TypedDict):
    state: ProcessState
    """State of the process that runs the changed definition."""

    since: str
    """Time at which that state began."""

    cause: Union[str, None]
    """Reason why it does not run, for people; `null` if there is none."""

    next_start_at: Union[str, None]
    """Time of the next start; `null` if none is due."""

    last_stderr: List[str]
    """Last lines that its last ended process wrote on its standard error, newest last."""


class PendingUpdate(_PendingUpdateAlways, total=False):
    """A changed definition that has yet to take over from the one that serves."""

    cause_code: Union[str, None]
    """The same as one word, which stays the same when sentences change: `refused`, `exited`, `unauthorized` and
    others.
    """

    fault: Union[str, None]
    """Id of the fault, where it is a known one; it stays the same when sentences change. `docs/doctor.md` lists
    them.
    """

    fix: Union[str, None]
    """What to do about it, for people; absent where the fault is not a known one."""


class _PermissionsAlways(TypedDict):
    mcps: Union[Literal['*'], List[str]]
    """MCPs: `*` for all, also those to come, or the ids of some."""


class Permissions(_PermissionsAlways, total=False):
    """MCPs and tools that a key may use."""

    tools: ToolPermissions
    """Tools; absent if the key may use all tools of its MCPs."""


class PinCounts(TypedDict):
    """Numbers of tools that are not as they were approved."""

    mode: PinMode
    """Treatment of such tools."""

    changed: int
    """Number of tools with another definition than the approved one."""

    new: int
    """Number of tools of a name that nobody approved."""

    gone: int
    """Number of approved tools that are no longer announced."""


class PinnedTool(TypedDict):
    """A tool beside the approved one of the same name."""

    name: str
    """Name."""

    state: PinState
    """State against the approved tool."""

    digest: Union[str, None]
    """Digest of the tool as it is announced; `null` if it is gone."""

    approved_digest: Union[str, None]
    """Digest of the approved tool; `null` if none of this name was approved."""

    approved_at: Union[str, None]
    """Time of the approval; `null` if there was none."""

    approved_by: Union[str, None]
    """Id of the member that approved it; `null` if nobody did because it was there when the MCP was first seen."""

    differences: List[ToolDifference]
    """Places where it differs from the approved tool, at most 100."""

    more_differences: bool
    """`true` if there are further places."""

    hidden_characters: List[str]
    """Characters in it that are not seen or turn the direction of text, such as `U+200B`."""


class Pins(TypedDict):
    """Comparison of an MCP's tools with the approved ones."""

    pin: PinMode
    """Treatment of tools that are not as they were approved."""

    digest: str
    """Digest of all announced tools, which an approval has to name."""

    tools: List[PinnedTool]
    """Announced tools in their order, then those that are gone; empty if nothing is compared."""


class Plan(TypedDict):
    """A plan, which limits those who have it. A limit that is `null` is unlimited."""

    name: str
    """Unique name."""

    source: Source
    """Place where it was made and can be changed."""

    is_of_organization: bool
    """`true` if it is the organization's plan."""

    members: int
    """Number of members that have it as a plan of their own."""

    requests_per_second: Union[int, None]
    """Number of requests in a second of each member."""

    monthly_requests: Union[int, None]
    """Number of calls in a month (UTC)."""

    max_mcps: Union[int, None]
    """Number of MCPs."""

    max_api_keys: Union[int, None]
    """Number of API keys."""

    max_members: Union[int, None]
    """Number of members."""


class PlanRemoval(TypedDict):
    """Answer to the removal of a plan."""

    name: str
    """Name of the plan."""

    status: Literal['removed']
    """The word `removed`."""


class Pools(TypedDict):
    """Number of the pools of an MCP: the places for a process of one session or one principal."""

    count: int
    """Number of all of them, also of those whose process is not running."""

    ready: int
    """Number of those whose process takes calls."""


class Replica(TypedDict):
    """One of an MCP's processes."""

    number: int
    """Number of its place, never used twice."""

    state: ProcessState
    """State of the process."""

    since: str
    """Time at which the state began."""

    incarnation: int
    """Number of the current or last process in this place; 0 before the first."""

    pid: Union[int, None]
    """Process id; `null` if none runs."""

    outdated: bool
    """`true` if it runs a definition that has been changed since."""


class _ResourceMetadataAlways(TypedDict):
    mcp_id: str
    """Id of the MCP, also where it was addressed by its name."""

    latency_ms: int
    """Time to the MCP's answer, in milliseconds."""

    timestamp: str
    """Time of the answer."""


class ResourceMetadata(_ResourceMetadataAlways, total=False):
    """Particulars of a request for resources."""

    uri: str
    """URI of the resource; only if one was asked for."""


class _ResourcesAlways(TypedDict):
    contents: List[Resource]
    """Contents of the resource that was asked for; all resources if none was."""

    metadata: ResourceMetadata
    """Particulars of the request."""


class Resources(_ResourcesAlways, total=False):
    """Content of a resource, or a list of resources."""

    resource_templates: List[ResourceTemplate]
    """Templates of resources; only if no resource was asked for."""


class RotatedApiKey(TypedDict):
    """An API key with its new text, which is shown this once."""

    id: str
    """Id, which is as it was."""

    name: str
    """Name, which need not be unique."""

    key: str
    """New text of the key, to be sent as `Authorization: Bearer`. It is not shown again."""

    prefix: str
    """First characters of the new text, by which its holder can tell it."""

    rotated_at: Union[str, None]
    """Time at which it was given this text."""

    previous_key_until: Union[str, None]
    """Time until which its earlier text is accepted as well; `null` if it is refused from now on."""

    expires_at: Union[str, None]
    """Time from which on it is refused; `null` if it does not expire."""


class _RpcFailureAlways(TypedDict):
    mcp_error: str
    """Message of the MCP."""

    mcp_code: Union[int, None]
    """Code of the JSON-RPC error; `null` if the MCP sent none."""


class RpcFailure(_RpcFailureAlways, total=False):
    """Code `mcp_error` with status 502: the MCP answered with an error, or with what cannot be used."""

    mcp_data: Any
    """Data of the JSON-RPC error; absent if the MCP sent none."""


class Secret(TypedDict):
    """A secret that a member has stored, without its value."""

    member_id: str
    """Id of the member."""

    name: str
    """Name, by which definitions of MCPs refer to it."""


class SecretChange(TypedDict):
    """Answer to the storing of a secret."""

    member_id: str
    """Id of the member."""

    name: str
    """Name of the secret."""

    status: Literal['stored']
    """The word `stored`."""


class SecretRemoval(TypedDict):
    """Answer to the removal of a secret."""

    member_id: str
    """Id of the member."""

    name: str
    """Name of the secret."""

    status: Literal['removed']
    """The word `removed`."""


class ServerInfo(TypedDict):
    """Name and version that an MCP gives itself."""

    name: Union[str, None]
    """Name; `null` if it says none."""

    version: Union[str, None]
    """Version; `null` if it says none."""


class Stats(TypedDict):
    """Numbers of an MCP's calls."""

    total_requests: int
    """Number of all calls."""

    requests_today: int
    """Number of calls since midnight (UTC)."""

    error_rate: float
    """Share of calls that failed, from 0 to 1, with two decimals."""

    avg_latency_ms: Union[int, None]
    """Mean time to the answer, in milliseconds; `null` before the first call."""


class _SupervisionAlways(TypedDict):
    since: str
    """Time at which the state began."""

    incarnation: int
    """Number of the current or last process; 0 before the first."""

    pid: Union[int, None]
    """Process id; `null` if none runs."""

    failures: int
    """Number of failed starts and crashes in a row."""

    crash_loop: bool
    """`true` after so many of them that another start is unlikely to help."""

    next_start_at: Union[str, None]
    """Time of the next start; `null` if none is due."""

    last_exit: Union[str, None]
    """Reason why the last process ended, for people; `null` if it was stopped on request."""

    last_stderr: List[str]
    """Last lines that the last ended process wrote on its standard error, newest last."""

    replicas: List[Replica]
    """Processes, where an MCP may have several; empty while it rests."""


class Supervision(_SupervisionAlways, total=False):
    """State of an MCP's processes."""

    first_stderr: List[str]
    """First lines that the last ended process wrote on its standard error, without those of `last_stderr`;
    absent if there are none.
    """

    remarks: List[str]
    """Remarks about an MCP that works all the same, such as that it offers no tools; absent if there are none."""

    unenforced: List[str]
    """Limits of its definition that the gateway's machine does not, or not fully, enforce; absent if there are
    none.
    """

    pools: Pools
    """Processes of sessions and principals, where they do not share those of the MCP; absent if they do."""

    update: Union[PendingUpdate, None]
    """State of a changed definition while the earlier one still serves; absent if there is no such change."""


class TimeoutDetails(TypedDict):
    """Code `mcp_timeout`: there was no answer in time."""

    phase: CallPhase
    """Progress of the call."""

    timeout_ms: int
    """Time that the call had, in milliseconds."""


class _ToolAlways(TypedDict):
    name: str
    """Name, unique within its MCP."""

    description: Union[str, None]
    """Description for people and models, as the MCP gives it; `null` if it gives none."""

    input_schema: Dict[str, Any]
    """JSON Schema of the arguments, as the MCP gives it."""


class Tool(_ToolAlways, total=False):
    """A tool of an MCP."""

    _meta: Dict[str, Any]
    """Further members that the MCP gives the tool; absent if it gives none."""

    pin: PinState
    """State of the tool against the approved one; absent if the two are not compared."""


class _ToolDifferenceAlways(TypedDict):
    path: str
    """Place in the tool, as a JSON Pointer (RFC 6901)."""


class ToolDifference(_ToolDifferenceAlways, total=False):
    """A place where a tool differs from the approved one."""

    before: Any
    """Value of the approved tool; absent if it has none there."""

    after: Any
    """Value as it is announced; absent if there is none."""


class _ToolFailureAlways(TypedDict):
    mcp_error: str
    """Texts of the tool's answer, a line each."""

    content: List[ContentBlock]
    """Content of the tool's answer, as the MCP sent it."""


class ToolFailure(_ToolFailureAlways, total=False):
    """Code `mcp_error` with status 422: the tool ran and reported an error."""

    structured_content: Any
    """Structured content of the tool's answer; absent if there is none."""


class Traffic(TypedDict):
    """Calls of an MCP at this moment."""

    in_flight: int
    """Number of calls that it is working on."""

    queued: int
    """Number of calls that wait for their turn."""

    breaker: BreakerState
    """State of the circuit breaker, which refuses calls of an MCP that does not answer."""

    breaker_until: Union[str, None]
    """Time at which a call is let through again as a trial; `null` unless the breaker is `open`."""


class Tree(TypedDict):
    """Resources that an MCP's processes use."""

    processes: int
    """Number of processes, with those that they started."""

    rss_bytes: int
    """Memory that is resident, in bytes."""

    cpu_seconds: float
    """Processor time that they have used, in seconds."""


class _UnreachableDetailsAlways(TypedDict):
    phase: CallPhase
    """Progress of the call."""


class UnreachableDetails(_UnreachableDetailsAlways, total=False):
    """Codes `mcp_unreachable` and `answer_dropped`: there is no answer."""

    server: McpState
    """State of the MCP; absent if that is not the reason."""


class _UsageAlways(TypedDict):
    period: UsagePeriod
    """Name of the span: `custom` if it was given by its two ends."""

    start_date: str
    """First second of the span."""

    end_date: str
    """Last second of the span."""

    requests: UsageRequests
    """Number of all calls, beside the limit of a month."""

    by_status: UsageByStatus
    """Numbers of calls by success."""

    by_outcome: Dict[str, int]
    """Numbers of calls by outcome: `ok`, `tool_error`, or a word of the table in `docs/errors.md`."""

    avg_latency_ms: Union[int, None]
    """Mean time to the answer, in milliseconds; `null` without calls."""

    bytes: UsageBytes
    """Lengths of arguments and results. Their content is never kept."""

    by_mcp: List[UsageByMcp]
    """Calls by MCP, the most called first."""

    by_tool: List[UsageByTool]
    """Calls by tool, the most called first."""

    by_api_key: List[UsageByApiKey]
    """Calls by API key, the most used first."""

    by_day: List[UsageByDay]
    """Calls of each day of the span."""

    resolution: UsageResolution
    """Length of the sums that this is made of: the span is widened to whole ones."""


class Usage(_UsageAlways, total=False):
    """Calls of a span of time."""

    step_seconds: int
    """Length of the steps in seconds; absent without `step`. It is not shorter than the resolution."""

    groups: List[UsageGroup]
    """Calls across what `by` named, by steps, in each the most called first; absent without `by` and `step`."""

    groups_left_out: int
    """Number of groups beyond 10,000, which are left out; absent if none are."""


class UsageBucket(TypedDict):
    """Calls of an hour, a day or a month."""

    period_start: str
    """First second."""

    period_end: str
    """Last second."""

    requests: int
    """Number of calls."""

    errors: int
    """Number of calls that failed."""

    avg_latency_ms: Union[int, None]
    """Mean time to the answer, in milliseconds; `null` without calls."""


class UsageByApiKey(TypedDict):
    """Calls of an API key."""

    key_id: str
    """Id of the key."""

    name: Union[str, None]
    """Name of the key; `null` if it is not kept any more."""

    requests: int
    """Number of calls."""


class UsageByDay(TypedDict):
    """Calls of a day."""

    date: str
    """Day (UTC)."""

    requests: int
    """Number of calls."""


class UsageByMcp(TypedDict):
    """Calls of an MCP."""

    mcp_id: str
    """Id of the MCP."""

    name: Union[str, None]
    """Name of the MCP; `null` if it was removed."""

    requests: int
    """Number of calls."""

    errors: int
    """Number of calls that failed."""

    avg_latency_ms: Union[int, None]
    """Mean time to the answer, in milliseconds; `null` without calls."""


class UsageByStatus(TypedDict):
    """Numbers of calls by success."""

    success: int
    """Number of calls that ended well."""

    error: int
    """Number of all others."""


class UsageByTool(TypedDict):
    """Calls of a tool."""

    mcp_id: str
    """Id of the tool's MCP."""

    tool: str
    """Name of the tool."""

    requests: int
    """Number of calls."""

    errors: int
    """Number of calls that failed."""

    avg_latency_ms: Union[int, None]
    """Mean time to the answer, in milliseconds; `null` without calls."""


class UsageBytes(TypedDict):
    """Lengths of arguments and results, in bytes."""

    arguments: int
    """Length of all arguments."""

    results: int
    """Length of all results."""


class _UsageGroupAlways(TypedDict):
    requests: int
    """Number of calls."""

    errors: int
    """Number of calls that failed."""

    avg_latency_ms: Union[int, None]
    """Mean time to the answer, in milliseconds."""

    bytes: UsageBytes
    """Lengths of arguments and results."""


class UsageGroup(_UsageGroupAlways, total=False):
    """Calls across what `by` named, and of a step."""

    start: str
    """First second of the step; absent without `step`."""

    key_id: str
    """Id of the key; absent if calls are not grouped by it."""

    key_name: str
    """Name of the key; absent if it is not kept any more."""

    mcp_id: str
    """Id of the MCP; absent if calls are not grouped by it."""

    mcp_name: str
    """Last name of the MCP."""

    tool: str
    """Name of the tool, or the method of what is no tool; absent if calls are not grouped by it."""


class UsageRequests(TypedDict):
    """Number of all calls of a span, beside the limit of a month."""

    total: int
    """Number of all calls."""

    limit: Union[int, None]
    """Number of calls that the plan, or the key, allows in a month; `null` if it is unlimited, and for another
    span than `month`.
    """

    percentage: Union[int, None]
    """Share of the limit that is used up, in percent; `null` without a limit."""


class _ApproveToolsBodyAlways(TypedDict):
    digest: str
    """Digest of all tools, as the comparison showed it."""


class ApproveToolsBody(_ApproveToolsBodyAlways, total=False):
    """Members of `ApproveToolsBody`."""

    tools: Union[List[str], None]
    """Names of the tools to approve; all by default, and then those that are gone are forgotten."""


class _InvokeToolBodyAlways(TypedDict):
    mcp_id: str
    """Id or exact name of the MCP."""

    tool: str
    """Name of the tool."""


class InvokeToolBody(_InvokeToolBodyAlways, total=False):
    """Members of `InvokeToolBody`."""

    arguments: Union[Dict[str, Any], None]
    """Arguments of the tool, as its schema wants them; `{}` by default."""

    timeout: Union[int, None]
    """Time for the answer, in milliseconds, at most what the gateway is set to (300000). Without it the default
    of the MCP or the gateway holds, which progress extends.
    """

    context: Union[Dict[str, Any], None]
    """Particulars for the MCP, which gets them as `_meta["plexmcp/context"]`."""


class _ReadResourceBodyAlways(TypedDict):
    mcp_id: str
    """Id or exact name of the MCP."""


class ReadResourceBody(_ReadResourceBodyAlways, total=False):
    """Members of `ReadResourceBody`."""

    uri: Union[str, None]
    """URI of the resource to read; all resources are listed without it."""

    timeout: Union[int, None]
    """Time for the answer, in milliseconds, at most what the gateway is set to (300000). Without it the default
    of the MCP or the gateway holds, which progress extends.
    """


class _CreateMemberBodyAlways(TypedDict):
    name: str
    """Name for people."""


class CreateMemberBody(_CreateMemberBodyAlways, total=False):
    """Members of `CreateMemberBody`."""

    id: str
    """Id; made by default."""

    email: str
    """Email address."""

    role: Literal['owner', 'admin', 'member', 'viewer']
    """Role, at most your own; `member` by default."""

    plan: str
    """Name of a plan of its own, which only owners give."""


class UpdateMemberBody(TypedDict, total=False):
    """Members of `UpdateMemberBody`."""

    name: str
    """Name for people."""

    email: Union[str, None]
    """Email address; `null` takes it away."""

    role: Literal['owner', 'admin', 'member', 'viewer']
    """Role, at most your own."""

    plan: Union[str, None]
    """Name of a plan of its own, which only owners give; `null` takes it away."""


class PutPlanBody(TypedDict, total=False):
    """Members of `PutPlanBody`."""

    requests_per_second: Union[int, None]
    """Requests in a second of each member."""

    monthly_requests: Union[int, None]
    """Calls in a month (UTC)."""

    max_mcps: Union[int, None]
    """MCPs."""

    max_api_keys: Union[int, None]
    """API keys."""

    max_members: Union[int, None]
    """Members."""


class PutSecretBody(TypedDict):
    """Members of `PutSecretBody`."""

    value: str
    """The secret, without NUL."""


class CreateKeyBodyPermissions(TypedDict, total=False):
    """MCPs and tools that the key may use, never more than the key that asks may."""

    mcps: Union[Literal['*'], List[str]]
    """MCPs: `*` for all, also those to come, or ids or names of some; `*` by default."""

    tools: Union[Literal['*'], List[str], Dict[str, List[str]]]
    """Tools: `*` for all, which is the default, or names in which `*` stands for any characters, for all MCPs or
    by MCP, with `*` for those that are not named.
    """


class CreateKeyBodyLimits(TypedDict, total=False):
    """Limits of its own, beside those of its owner's plan."""

    requests_per_second: Union[int, None]
    """Requests in a second; `null` for the default."""

    monthly_requests: Union[int, None]
    """Calls in a month (UTC); `null` for the default."""

    calls_at_once: Union[int, None]
    """Calls that may be under way at the same time; `null` for the default."""


class CreateKeyBodyMember(TypedDict, total=False):
    """Member to be made along with the key, which is to own it, in place of `owner_id`."""

    id: str
    """Id; made by default."""

    name: str
    """Name for people; the key's by default."""

    email: str
    """Email address."""

    role: Literal['owner', 'admin', 'member', 'viewer']
    """Role; `member` by default."""

    plan: str
    """Name of a plan of its own."""


class _CreateKeyBodyAlways(TypedDict):
    name: str
    """Name, which need not be unique."""


class CreateKeyBody(_CreateKeyBodyAlways, total=False):
    """Members of `CreateKeyBody`."""

    description: Union[str, None]
    """Description; `null` for none."""

    expires_at: Union[str, None]
    """Time from which on the key is refused, or a date, of which it is the last second; `null` for none."""

    permissions: CreateKeyBodyPermissions
    """MCPs and tools that the key may use, never more than the key that asks may."""

    limits: CreateKeyBodyLimits
    """Limits of its own, beside those of its owner's plan."""

    owner_id: str
    """Id of the member that is to own it; your own by default."""

    member: CreateKeyBodyMember
    """Member to be made along with the key, which is to own it, in place of `owner_id`."""


class UpdateKeyBodyPermissions(TypedDict, total=False):
    """MCPs and tools that the key may use, never more than the key that asks may."""

    mcps: Union[Literal['*'], List[str]]
    """MCPs: `*` for all, also those to come, or ids or names of some; `*` by default."""

    tools: Union[Literal['*'], List[str], Dict[str, List[str]]]
    """Tools: `*` for all, which is the default, or names in which `*` stands for any characters, for all MCPs or
    by MCP, with `*` for those that are not named.
    """


class UpdateKeyBodyLimits(TypedDict, total=False):
    """Limits of its own, beside those of its owner's plan."""

    requests_per_second: Union[int, None]
    """Requests in a second; `null` for the default."""

    monthly_requests: Union[int, None]
    """Calls in a month (UTC); `null` for the default."""

    calls_at_once: Union[int, None]
    """Calls that may be under way at the same time; `null` for the default."""


class UpdateKeyBody(TypedDict, total=False):
    """Members of `UpdateKeyBody`."""

    name: str
    """Name, which need not be unique."""

    description: Union[str, None]
    """Description; `null` for none."""

    expires_at: Union[str, None]
    """Time from which on the key is refused, or a date, of which it is the last second; `null` for none."""

    permissions: UpdateKeyBodyPermissions
    """MCPs and tools that the key may use, never more than the key that asks may."""

    limits: UpdateKeyBodyLimits
    """Limits of its own, beside those of its owner's plan."""


class RotateKeyBody(TypedDict, total=False):
    """Members of `RotateKeyBody`."""

    grace: Union[str, float]
    """Time for which the earlier text is accepted as well: with a unit (`ms`, `s`, `m`, `h`), or as a number of
    seconds; at most seven days, and none by default.
    """


class ApiStatus(TypedDict):
    """State of the API."""

    status: Literal['ok']
    """The word `ok`."""

    service: str
    """Name of the API."""

    version: str
    """Version of the API, not of the gateway."""


class ApiDone(TypedDict):
    """Answer to a change: it is stored. A server starts in the background."""

    status: Literal['success']
    """The word `success`."""

    message: str
    """Text for people, such as `Server 'playwright' added successfully`."""


class _ApiErrorResponseAlways(TypedDict):
    error: str
    """Text for people."""


class ApiErrorResponse(_ApiErrorResponseAlways, total=False):
    """An answer that is not a success."""

    code: str
    """Word for programs, such as `mcp_unreachable` or `llm_error`, where they may want to tell cases apart;
    absent elsewhere. Further ones may be added.
    """

    available_servers: List[str]
    """Names of all servers; only in an error about the name of one."""

    problems: List[str]
    """Everything that is wrong with a definition; only if that is more than what `error` says."""

    request_id: str
    """Id of the request, by which the gateway's log tells more; only for an internal error."""

    reason: str
    """Reason why a key is needed here; only where the gateway's own user would need none."""


class ApiLeftOutTool(TypedDict):
    """A tool that was left out of the request to the model after all."""

    server: str
    """Name of the server."""

    tool: str
    """Tool's name as its server gives it."""

    reason: str
    """Text of the endpoint's refusal, at most 300 characters."""


class ApiLogin(TypedDict):
    """Beginning of a login."""

    status: Literal['success']
    """The word `success`."""

    authorization_url: str
    """Address to open in a browser."""

    state: str
    """Text by which what the browser brings back is known."""


class _ApiQueryAnswerAlways(TypedDict):
    status: Literal['success']
    """The word `success`."""

    result: str
    """Text of the answer."""

    finish_reason: ApiFinishReason
    """Reason why the model stopped."""

    model: str
    """Name of the model that was asked."""

    turns: int
    """Number of turns: how often the model was asked."""

    usage: ApiTokenUsage
    """Tokens of all turns, as far as the model's endpoint counts them."""


class ApiQueryAnswer(_ApiQueryAnswerAlways, total=False):
    """A model's answer to a question."""

    left_out: List[ApiLeftOutTool]
    """Tools that the model's endpoint refused to be told of; absent if there are none."""

    steps: List[ApiStep]
    """Tool calls that were made; only if the question asks for them by `include_steps`."""


class _ApiServerAlways(TypedDict):
    name: str
    """Unique name."""

    command: str
    """Program; empty for a server that is elsewhere and has an address."""

    args: List[str]
    """Arguments of the program."""

    env: Dict[str, str]
    """Environment variables that are set for it. The values are `[REDACTED]` where the gateway is told to show
    none.
    """


class ApiServer(_ApiServerAlways, total=False):
    """An MCP server: the program that is run for it."""

    url: Union[str, None]
    """Address of a server that is elsewhere, without what may be a secret in it."""

    type: Union[str, None]
    """Way in which a server that is elsewhere is spoken to."""

    headers: Union[Dict[str, str], None]
    """Headers that are sent to a server that is elsewhere; the values are always `[REDACTED]`."""


class ApiServerList(TypedDict):
    """All servers."""

    servers: List[ApiServer]
    """Servers, in the order in which they were added."""


class ApiStep(TypedDict):
    """A tool call that was made."""

    server: Union[str, None]
    """Name of the server; `null` if the model named an unknown tool."""

    tool: str
    """Tool's own name, or the unknown name that the model used."""

    arguments: Any
    """Arguments, as the model wrote them."""

    result: str
    """Result, as the model got it."""

    is_error: bool
    """`true` if the result was an error."""

    duration_ms: int
    """Duration of the call in milliseconds."""


class ApiTokenEvent(TypedDict):
    """Event of a streamed answer: words of the model, as they come."""

    type: Literal['token']
    """The word `token`."""

    text: str
    """Words."""


class ApiTokenUsage(TypedDict):
    """Token counts, as the endpoint reports them."""

    prompt_tokens: int
    """Tokens of the request."""

    completion_tokens: int
    """Tokens of the model's reply."""

    total_tokens: int
    """Sum of both, as the endpoint reports it."""


class ApiTool(TypedDict):
    """A tool of a server."""

    name: str
    """Name, unique within its server."""

    description: str
    """Description for people and models; empty if the server gives none."""

    parameters: Dict[str, Any]
    """JSON Schema of the arguments, as the server gives it."""


class ApiToolCallEvent(TypedDict):
    """Event of a streamed answer: the model has a tool called."""

    type: Literal['tool_call']
    """The word `tool_call`."""

    id: str
    """Id of the call, which its result has as well."""

    server: Union[str, None]
    """Name of the server; `null` if the model named an unknown tool."""

    tool: str
    """Name of the tool."""

    arguments: Any
    """Arguments, as the model wrote them."""


class ApiToolList(TypedDict):
    """Tools of a server."""

    status: Literal['success']
    """The word `success`."""

    tools: List[ApiTool]
    """Tools, in the server's own order."""


class ApiToolResultEvent(TypedDict):
    """Event of a streamed answer: a tool has answered."""

    type: Literal['tool_result']
    """The word `tool_result`."""

    id: str
    """Id of the call."""

    server: Union[str, None]
    """Name of the server; `null` if the model named an unknown tool."""

    tool: str
    """Name of the tool."""

    result: str
    """Result, as the model got it."""

    is_error: bool
    """`true` if the result is an error."""

    duration_ms: int
    """Duration of the call, in milliseconds."""


class _ApiAddServerBodyAlways(TypedDict):
    name: str
    """Unique name."""


class ApiAddServerBody(_ApiAddServerBodyAlways, total=False):
    """Members of `ApiAddServerBody`."""

    command: Union[str, None]
    """Program to run; a server has either this or `url`."""

    url: Union[str, None]
    """Address of a server that is elsewhere."""

    type: Union[str, None]
    """Way in which such a server is spoken to; found out by default."""

    headers: Union[Dict[str, str], None]
    """Headers to send to such a server; none by default."""

    args: Union[List[str], None]
    """Arguments of the program; none by default."""

    env: Union[Dict[str, str], None]
    """Environment variables to set for it; none by default."""

    mcpvisor: Union[Dict[str, Any], None]
    """Treatment of the server, as `docs/configuration.md` of the gateway has it."""


class ApiUpdateServerBody(TypedDict, total=False):
    """Members of `ApiUpdateServerBody`."""

    command: Union[str, None]
    """Program to run; a server has either this or `url`."""

    url: Union[str, None]
    """Address of a server that is elsewhere."""

    type: Union[str, None]
    """Way in which such a server is spoken to; found out by default."""

    headers: Union[Dict[str, str], None]
    """Headers to send to such a server; none by default."""

    args: Union[List[str], None]
    """Arguments of the program; none by default."""

    env: Union[Dict[str, str], None]
    """Environment variables to set for it; none by default."""

    mcpvisor: Union[Dict[str, Any], None]
    """Treatment of the server, as `docs/configuration.md` of the gateway has it."""


class ApiBeginLoginBody(TypedDict):
    """Members of `ApiBeginLoginBody`."""

    redirect_uri: str
    """Address of the person's own machine that the browser is sent to at the end."""


class _ApiFinishLoginBodyAlways(TypedDict):
    state: str
    """Text that came back, as it was given at the beginning."""


class ApiFinishLoginBody(_ApiFinishLoginBodyAlways, total=False):
    """Members of `ApiFinishLoginBody`."""

    code: str
    """Code that came back."""

    iss: str
    """Authorization server that sent it back, if it said (RFC 9207)."""

    error: str
    """Error that came back."""


class _ApiRunQueryBodyAlways(TypedDict):
    query: str
    """Question."""


class ApiRunQueryBody(_ApiRunQueryBodyAlways, total=False):
    """Members of `ApiRunQueryBody`."""

    server: Union[str, None]
    """Name or id of the server whose tools are used; required unless `servers` is given."""

    model: Union[str, None]
    """Model; by default the one that the gateway is set to."""

    servers: Union[List[str], None]
    """Further servers."""

    tools: Union[List[str], None]
    """Tools that may be used; all by default."""

    stream: Union[bool, None]
    """`true` for a stream of events; `false` by default."""

    max_turns: Union[int, None]
    """How often the model is asked at most; what the gateway is set to by default."""

    temperature: Union[float, None]
    """Temperature of the model; its own by default."""

    timeout: Union[int, None]
    """Time for the answer, in milliseconds; what the gateway is set to by default."""

    include_steps: Union[bool, None]
    """`true` to have the tool calls in the answer; `false` by default."""


class ApiExportConfigBody(TypedDict):
    """Members of `ApiExportConfigBody`."""

    filepath: str
    """Path of the file. With a key it has to be in the folder that `api.config_root` names."""


class ApiImportConfigBody(TypedDict):
    """Members of `ApiImportConfigBody`."""

    filepath: str
    """Path of the file. With a key it has to be in the folder that `api.config_root` names."""


BreakerState = Literal['closed', 'open', 'half_open']
"""State of the circuit breaker of an MCP.

- `closed`: Calls are let through.
- `open`: Calls are refused, since the last ones were not answered.
- `half_open`: One call is let through as a trial.
"""


CallDialect = Literal['plexmcp', 'mcp_cli', 'mcp', 'other']
"""Dialect that a call was made in.

- `plexmcp`: This one, `/v1`.
- `mcp_cli`: `/api`, also the calls that a question led to.
- `mcp`: MCP itself, `/mcp`.
- `other`: None of them.
"""


CallKind = Literal['tool', 'resource', 'list', 'prompt', 'completion', 'extension']
"""What a call asked for.

- `tool`: A tool.
- `resource`: A resource.
- `list`: A list.
- `prompt`: A prompt.
- `completion`: Values for an argument.
- `extension`: An extension of MCP.
"""


CallPhase = Literal['not_sent', 'in_flight']
"""Progress of a call that failed.

- `not_sent`: The MCP cannot have seen the call, so it is safe to repeat it.
- `in_flight`: The MCP may have carried the call out.
"""


ContentBlock = Dict[str, Any]
"""Block of content as MCP defines it: a text, an image, a sound, a resource or a link to one."""


FieldProblems = Dict[str, str]
"""Codes `invalid_request` and `validation_error`: of each member or parameter that is wrong, what is wrong with
it.
"""


ErrorDetails = Union[ToolFailure, RpcFailure, TimeoutDetails, NotRepeatedDetails, UnreachableDetails, BreakerDetails, LimitDetails, BlockedToolDetails, MissingSecretDetails, InternalErrorDetails, FieldProblems]
"""Particulars of an error. Which there are depends on the error's `code`."""


Health = Literal['healthy', 'unhealthy', 'unknown']
"""Health of an MCP.

- `healthy`: It answers calls.
- `unhealthy`: It has crashed, waits for its next start, has failed, or does not answer.
- `unknown`: It was not started yet.
"""


KeyStatus = Literal['active', 'revoked', 'expired']
"""Status of an API key.

- `active`: It is accepted.
- `revoked`: It was revoked.
- `expired`: It has expired.
"""


LogEndReason = Literal['removed', 'shutting_down', 'revoked_key', 'expired_key', 'forbidden', 'mcp_not_permitted']
"""Reason why the stream of a log ends.

- `removed`: The MCP was removed.
- `shutting_down`: The gateway is shutting down.
- `revoked_key`: The key was revoked.
- `expired_key`: The key has expired.
- `forbidden`: The key's member may not read logs any more.
- `mcp_not_permitted`: The key may not use this MCP any more.
"""


LogStream = Literal['stderr', 'stdout', 'log', 'mcpvisor']
"""Source of a line of a log.

- `stderr`: Standard error.
- `stdout`: Standard output, where it was no message of MCP.
- `log`: A log message of MCP, which begins with its level.
- `mcpvisor`: A remark of the gateway.
"""


McpStatus = Literal['active', 'inactive']
"""Availability of an MCP.

- `active`: It can be called.
- `inactive`: The operator has switched it off, or it is remote.
"""


NotRepeated = Literal['running', 'cancelled', 'not_kept']
"""Reason that a call with an `Idempotency-Key` that is known has no reply.

- `running`: The call is under way, and somebody waits for it: asking again is safe.
- `cancelled`: The call was cancelled, because nobody waited for it any more.
- `not_kept`: The call was carried out. Its reply was too long to be kept, or its room was needed.
"""


Outcome = Literal['done', 'refused', 'failed', 'unknown']
"""Result of a recorded request.

- `done`: The request was carried out.
- `refused`: The request was not carried out: the caller lacks the right, or exceeded a rate.
- `failed`: The request was not carried out for another reason.
- `unknown`: The request may or may not have been carried out: the caller left, the child ended, or a defect
intervened.
"""


PinMode = Literal['off', 'warn', 'block']
"""Treatment of tools that are not as they were approved.

- `off`: They are not compared.
- `warn`: They are reported.
- `block`: They are reported, and neither listed nor called until they are approved.
"""


PinState = Literal['pinned', 'reordered', 'changed', 'new', 'gone']
"""State of a tool against the approved one of the same name.

- `pinned`: It is as it was approved.
- `reordered`: Only the order of what it enumerates is another one, which is let through.
- `changed`: It is not as it was approved.
- `new`: None of this name was approved.
- `gone`: It was approved and is not announced any more.
"""


ProcessState = Literal['disabled', 'stopped', 'idle', 'starting', 'ready', 'degraded', 'stopping', 'backoff', 'unauthorized', 'failed', 'exited']
"""State of an MCP's process.

- `disabled`: It is switched off in its definition.
- `stopped`: It was stopped, and stays so until it is started or the gateway is.
- `idle`: It is started by the first call.
- `starting`: It is being started.
- `ready`: It answers calls.
- `degraded`: It runs, but does not answer as it should.
- `stopping`: It is being stopped.
- `backoff`: It has ended, and waits for its next start.
- `unauthorized`: It is a remote server that refuses the credentials, or wants some.
- `failed`: It cannot be started, and is not tried again by itself.
- `exited`: It has ended, and is not to be started again.
"""


Resource = Dict[str, Any]
"""Resource as MCP defines it: its content, or its entry in a list."""


ResourceTemplate = Dict[str, Any]
"""Template of the URIs of resources, as MCP defines it."""


Role = Literal['owner', 'admin', 'member', 'viewer']
"""Role of a member. Each may do what the ones after it may.

- `owner`: Makes plans and gives them to members.
- `admin`: Manages members, all keys, logs, restarts, approvals and the audit.
- `member`: Calls tools, reads resources, and has keys of its own.
- `viewer`: Sees what there is, and the usage of its own keys.
"""


Severity = Literal['error', 'warning', 'note']
"""Weight of a finding.

- `error`: It keeps a server from running.
- `warning`: It may keep one from running, or does so now and then.
- `note`: It is worth knowing.
"""


Source = Literal['built-in', 'file', 'api']
"""Place where something was made and can be changed.

- `built-in`: It is there without being made.
- `file`: The gateway's configuration file.
- `api`: This API.
"""


StartPhase = Literal['waiting', 'spawned', 'installing', 'probing', 'handshake', 'listing']
"""Progress of a start.

- `waiting`: It waits for its turn, since only a few are started at once.
- `spawned`: The process has been started.
- `installing`: Its launcher fetches it.
- `probing`: A remote server is connected to, and asked which era it speaks.
- `handshake`: It introduces itself and lists its tools.
- `listing`: A remote server lists its tools.
"""


ToolPermissions = Union[List[str], Dict[str, List[str]]]
"""Names of tools, in which `*` stands for any characters: for all MCPs, or by the id of an MCP, with `*` for all
others.
"""


Transport = Literal['stdio', 'streamable-http', 'sse', 'websocket']
"""Way in which the gateway speaks to an MCP.

- `stdio`: Standard input and output of a process on the gateway's machine.
- `streamable-http`: Streamable HTTP, for a remote one.
- `sse`: HTTP with Server-Sent Events, for a remote one.
- `websocket`: A WebSocket, which is not supported.
"""


UsagePeriod = Literal['hour', 'day', 'week', 'month', 'custom']
"""Name of a span of time.

- `hour`: The current hour.
- `day`: The current day (UTC).
- `week`: The current week, from Monday.
- `month`: The current calendar month.
- `custom`: A span that was given by its two ends.
"""


UsageResolution = Literal['minute', 'hour', 'day']
"""Length of the sums that an answer about usage is made of.

- `minute`: A minute: of a span that began in the last three hours.
- `hour`: An hour: of one that began in the last 30 days, unless the gateway is configured otherwise.
- `day`: A day (UTC).
"""


ApiFinishReason = Literal['stop', 'length', 'refusal', 'max_turns']
"""Reasons why the model stopped.

- `stop`: The model had finished its answer.
- `length`: The answer was cut off at its length limit.
- `refusal`: The model refused, or its provider did for it.
- `max_turns`: The model used all its turns and still wanted to call tools.
"""
