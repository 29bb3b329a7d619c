// Every error of the suite, in one place. Boot errors carry 500 because they never reach a client;
// the others carry the status code that a client sees. `code` is stable, the wording is not.
import createError from '@fastify/error'

/** What a function of the app's failed with. Fastify takes a hook that throws nothing for one that lets the request by, so nothing becomes an Error. */
export function causeOf (thrown: unknown): unknown {
  return thrown || new Error('A function of the app failed without a reason')
}

/** A boot error: an option that cannot be used. The message names key, value and expectation. */
export const BadOption = createError('FST_SURGE_BAD_OPTION', '%s', 500, TypeError)
/** A boot error: something on the app already does what the plugin would do. */
export const Clash = createError('FST_SURGE_CLASH', '%s', 500)
/** A boot error: the plugin is registered twice where it may exist once. */
export const Duplicate = createError('FST_SURGE_DUPLICATE', '%s', 500)

/** 503: the gate and its waiting room are full. */
export const QueueFull = createError('FST_SURGE_QUEUE_FULL', 'The server is at its limit and its waiting room is full', 503)
/** 503: the request waited too long without being admitted, or would have. */
export const QueueTimeout = createError('FST_SURGE_QUEUE_TIMEOUT', 'The server is at its limit and the wait is too long', 503)
/** 503: a request of a higher priority took this one's place in the waiting room. */
export const Evicted = createError('FST_SURGE_EVICTED', 'The server is at its limit and serves requests of a higher priority', 503)
/** 503: the gate is full, and the request's key has its share of it already. */
export const KeyShareTaken = createError('FST_SURGE_KEY_SHARE', 'The server is at its limit and this client has its share of it', 503)
/** 503: the gate is draining and admits nobody. */
export const Draining = createError('FST_SURGE_DRAINING', 'The server is shutting down', 503)
/** 503: the event loop, the heap or the resident set is past its limit. */
export const UnderPressure = createError('FST_SURGE_PRESSURE', 'The server is under pressure', 503)
/** 503: the handler did not answer within its deadline. */
export const DeadlineExceeded = createError('FST_SURGE_DEADLINE', 'The server did not answer in time', 503)
/** 500: a worker thread died while it ran the task, of which it may well be the reason: sending it again is not safe. Its `cause` says how. */
export const WorkerCrashed = createError('FST_SURGE_WORKER_CRASHED', 'A worker thread crashed before its task had ended', 500)
/** 429: the client is past its quota. */
export const RateLimited = createError('FST_SURGE_RATE_LIMITED', 'Rate limit exceeded', 429)
/** 503: the store of the rate limit does not answer, and the app chose to refuse meanwhile. */
export const QuotaUnavailable = createError('FST_SURGE_QUOTA_UNAVAILABLE', 'The quota cannot be checked at the moment', 503)
/** 403: the client went on past its quota until it was banned. */
export const Banned = createError('FST_SURGE_BANNED', 'Banned after too many requests over the limit', 403)

/** 408: the body of the request comes in below the minimum rate. */
export const SlowBody = createError('FST_SURGE_SLOW_BODY', 'The request body comes in too slowly', 408)
/** No client sees this: nothing of a reply moved for `writeStallTimeout`, and the connection was destroyed. */
export const WriteStalled = createError('FST_SURGE_WRITE_STALL', 'The client does not read its reply', 503)
/** No client sees this: the TLS handshake took too long, and the connection was destroyed. */
export const HandshakeTimeout = createError('FST_SURGE_HANDSHAKE', 'The TLS handshake took too long', 408)
/** No client sees this: its connection had no request for longer than Node's limits allow, kept up by blank lines. */
export const IdleConnection = createError('FST_SURGE_IDLE_CONNECTION', 'The connection has no request', 408)
/** No client sees this: its address has `maxConnectionsPerIp` connections, and this one was dropped. */
export const TooManyConnections = createError('FST_SURGE_CONNECTIONS_PER_IP', 'Too many connections from one address', 503)
/** 503: more than `maxPipelined` requests of one connection wait for their replies. */
export const PipelineFull = createError('FST_SURGE_PIPELINE_FULL', 'Too many requests are pipelined on this connection', 503)
/** 431: the request has more than `maxHeaders` header fields. */
export const TooManyHeaders = createError('FST_SURGE_TOO_MANY_HEADERS', 'The request has too many header fields', 431)
/** 400: the request has more than one Host (RFC 9112 section 3.2). */
export const DuplicateHost = createError('FST_SURGE_DUPLICATE_HOST', 'The request has more than one Host header', 400)
/** An HTTP/2 error ENHANCE_YOUR_CALM: the client opens and resets streams too often. */
export const StreamResets = createError('FST_SURGE_STREAM_RESETS', 'Too many streams are reset', 503)
/** 403: profiles are for those whom `authorize` lets, or without it for clients of this host. */
export const ProfilingDenied = createError('FST_SURGE_PROFILING_DENIED', 'Not authorized to profile this server', 403)
/** 409: another profile is being taken; V8 has one profiler. */
export const ProfilingBusy = createError('FST_SURGE_PROFILING_BUSY', 'Another profile is being taken', 409)

/** 412: `If-Match` or `If-Unmodified-Since` does not hold for the current representation (RFC 9110 section 13.2.2). */
export const PreconditionFailed = createError('FST_SURGE_PRECONDITION_FAILED', 'The representation is not the one that the request expects', 412)
/** 406: the request excludes `identity` and every content coding that the route has (RFC 9110 section 12.5.3). */
export const NotAcceptable = createError('FST_SURGE_NOT_ACCEPTABLE', 'No content coding of this reply is acceptable to the request', 406)

/** 400: the body is not JSON, or not the shape that the route streams. Carries `index` and `offset`. */
export const JsonInvalid = createError('FST_SURGE_JSON_INVALID', 'Invalid JSON at element %s (byte %s)', 400)
/** 400: the body is JSON, but does not have the array that the route streams, or has it twice. Carries `index` and `offset`. */
export const JsonShape = createError('FST_SURGE_JSON_SHAPE', 'Expected %s (byte %s)', 400)
/** 400: the body ended inside a value. Carries `index` and `offset`. */
export const JsonTruncated = createError('FST_SURGE_JSON_TRUNCATED', 'The JSON body ended early, at element %s (byte %s)', 400)
/** 400: the body is nested deeper than `limits.maxDepth`. */
export const JsonTooDeep = createError('FST_SURGE_JSON_TOO_DEEP', 'JSON nested deeper than %s levels at element %s (byte %s)', 400)
/** 400: the same of a body that is not streamed, and so has no elements. */
export const JsonBodyTooDeep = createError('FST_SURGE_JSON_TOO_DEEP', 'JSON nested deeper than %s levels (byte %s)', 400)
/** 400: the body is not valid UTF-8 (RFC 8259 section 8.1). */
export const JsonNotUtf8 = createError('FST_SURGE_JSON_NOT_UTF8', 'The body is not valid UTF-8 at element %s (byte %s)', 400)
/** 400: an element carries `__proto__` or `constructor.prototype` and the app's `onProtoPoisoning` says error. */
export const JsonPrototype = createError('FST_SURGE_JSON_PROTOTYPE', 'Forbidden prototype property in element %s (byte %s)', 400)
/** 400: an element does not match `schema.body.items`. */
export const JsonElementInvalid = createError('FST_SURGE_JSON_ELEMENT_INVALID', 'Element %s %s', 400)
/** 413: the body is longer than `limits.maxBytes`. */
export const JsonTooLarge = createError('FST_SURGE_JSON_TOO_LARGE', 'The body is larger than %s bytes', 413)
/** 413: what surrounds the streamed array is longer than `limits.maxEnvelopeBytes`. */
export const JsonEnvelopeTooLarge = createError('FST_SURGE_JSON_ENVELOPE_TOO_LARGE', 'The JSON around the elements is larger than %s bytes', 413)
/** 413: a compressed body unpacks to more than `limits.maxRatio` times its size. */
export const JsonRatioExceeded = createError('FST_SURGE_JSON_RATIO', 'The body unpacks to more than %s times its size', 413)
/** 413: one element is longer than `limits.maxElementBytes`. */
export const JsonElementTooLarge = createError('FST_SURGE_JSON_ELEMENT_TOO_LARGE', 'Element %s is larger than %s bytes', 413)
/** 413: the body has more than `limits.maxItems` elements. */
export const JsonTooManyItems = createError('FST_SURGE_JSON_TOO_MANY_ITEMS', 'The body has more than %s elements', 413)
/** 415: the media type is not one that the route streams. */
export const JsonMediaType = createError('FST_SURGE_JSON_MEDIA_TYPE', 'Expected %s, got %s', 415)
/** 415: the content encoding of the body is not one that the route decodes. */
export const JsonContentEncoding = createError('FST_SURGE_JSON_CONTENT_ENCODING', 'Unsupported Content-Encoding: %s', 415)
/** 400: the body is not what its Content-Encoding says. */
export const JsonEncodingInvalid = createError('FST_SURGE_JSON_ENCODING', 'The body is not valid %s', 400)
/** 408: no byte of the body arrived for `idleTimeout` while the handler waited for one. */
export const JsonIdle = createError('FST_SURGE_JSON_IDLE', 'No data for %s ms', 408)
/** The client went away before the body was complete; no client sees this. */
export const JsonAborted = createError('FST_SURGE_JSON_ABORTED', 'The client closed the connection before the body was complete', 400)
/** 500: the reply went out, by the handler or a deadline, while the body was read still: the rest of it is lost. No client sees this. */
export const JsonReplied = createError('FST_SURGE_JSON_REPLIED', 'The reply went out before the body was read to its end', 500)
/** A programming error: `request.jsonStream()` was called twice, or on a route that did not opt in. */
export const JsonStreamMisuse = createError('FST_SURGE_JSON_MISUSE', '%s', 500)
