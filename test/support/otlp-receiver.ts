import { EventEmitter, once } from 'node:events'
import { type IncomingMessage, type Server, type ServerResponse, createServer } from 'node:http'
import { type AddressInfo } from 'node:net'
import { json } from 'node:stream/consumers'

type Attributes = Readonly<Record<string, unknown>>

/** A span as it arrived. Times in milliseconds since 1970. */
export interface ReceivedSpan {
  readonly name: string
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId: string | undefined
  readonly start: number
  readonly end: number
  readonly attributes: Attributes
  readonly links: readonly { readonly traceId: string; readonly spanId: string }[]
  readonly events: readonly {
    readonly name: string
    readonly at: number
    readonly attributes: Attributes
  }[]
  /** 2 is an error. */
  readonly status: number
}

/** A value of a metric as it arrived. */
export interface ReceivedPoint {
  readonly name: string
  readonly unit: string
  readonly isSum: boolean
  readonly attributes: Attributes
  readonly value: number
}

interface KeyValue {
  readonly key: string
  readonly value: Readonly<Record<string, unknown>>
}
interface Times {
  readonly timeUnixNano: string
}
interface OtlpSpan extends Pick<ReceivedSpan, 'name' | 'traceId' | 'spanId' | 'parentSpanId'> {
  readonly startTimeUnixNano: string
  readonly endTimeUnixNano: string
  readonly attributes?: readonly KeyValue[]
  readonly links?: ReceivedSpan['links']
  readonly events?: readonly (Times & {
    readonly name: string
    readonly attributes?: readonly KeyValue[]
  })[]
  readonly status?: { readonly code?: number }
}
interface OtlpPoints {
  readonly dataPoints: readonly {
    readonly attributes?: readonly KeyValue[]
    readonly asDouble?: number
    readonly asInt?: number | string
  }[]
}
interface OtlpMetric {
  readonly name: string
  readonly unit: string
  readonly sum?: OtlpPoints
  readonly gauge?: OtlpPoints
}
interface Body {
  readonly resourceSpans?: readonly {
    readonly scopeSpans: readonly { readonly spans: readonly OtlpSpan[] }[]
  }[]
  readonly resourceMetrics?: readonly {
    readonly scopeMetrics: readonly { readonly metrics: readonly OtlpMetric[] }[]
  }[]
}

const attributesOf = (list: readonly KeyValue[] = []): Attributes =>
  Object.fromEntries(list.map(({ key, value }) => [key, Object.values(value)[0]]))

const milliseconds = (nanoseconds: string): number => Number(nanoseconds) / 1e6

const toSpan = (span: OtlpSpan): ReceivedSpan => ({
  name: span.name,
  traceId: span.traceId,
  spanId: span.spanId,
  parentSpanId: span.parentSpanId,
  start: milliseconds(span.startTimeUnixNano),
  end: milliseconds(span.endTimeUnixNano),
  attributes: attributesOf(span.attributes),
  links: (span.links ?? []).map(({ traceId, spanId }) => ({ traceId, spanId })),
  events: (span.events ?? []).map(({ name, timeUnixNano, attributes }) => ({
    name,
    at: milliseconds(timeUnixNano),
    attributes: attributesOf(attributes),
  })),
  status: span.status?.code ?? 0,
})

const toPoints = ({ name, unit, sum, gauge }: OtlpMetric): ReceivedPoint[] =>
  (sum ?? gauge ?? { dataPoints: [] }).dataPoints.map(({ attributes, asDouble, asInt }) => ({
    name,
    unit,
    isSum: sum !== undefined,
    attributes: attributesOf(attributes),
    value: asDouble ?? Number(asInt),
  }))

/** An OTLP receiver over HTTP that keeps what it is sent as JSON, and lets a test wait for it. */
export class OtlpReceiver implements AsyncDisposable {
  readonly spans: ReceivedSpan[] = []
  readonly points: ReceivedPoint[] = []
  readonly #server: Server
  readonly #received = new EventEmitter<{ received: [] }>()

  private constructor() {
    this.#server = createServer((request, response) => void this.#answer(request, response))
  }

  static async listen(): Promise<OtlpReceiver> {
    const receiver = new OtlpReceiver()
    receiver.#server.listen(0, '127.0.0.1')
    await once(receiver.#server, 'listening')
    return receiver
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  /** The spans of a name, once there are so many. */
  async named(name: string, count = 1): Promise<ReceivedSpan[]> {
    const signal = AbortSignal.timeout(60_000)
    const found = (): ReceivedSpan[] => this.spans.filter((span) => span.name === name)
    while (found().length < count) await once(this.#received, 'received', { signal })
    return found()
  }

  /** The only span of a name. */
  async only(name: string): Promise<ReceivedSpan> {
    const [span, ...others] = await this.named(name)
    if (others.length > 0) throw new Error(`there are ${others.length + 1} spans ${name}`)
    return span!
  }

  clear(): void {
    this.spans.length = this.points.length = 0
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close()
    this.#server.closeAllConnections()
    await once(this.#server, 'close')
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.#take((await json(request)) as Body)
    response.setHeader('content-type', 'application/json').end('{}')
  }

  #take({ resourceSpans = [], resourceMetrics = [] }: Body): void {
    for (const { scopeSpans } of resourceSpans)
      for (const { spans } of scopeSpans) this.spans.push(...spans.map(toSpan))
    for (const { scopeMetrics } of resourceMetrics)
      for (const { metrics } of scopeMetrics) this.points.push(...metrics.flatMap(toPoints))
    this.#received.emit('received')
  }
}
