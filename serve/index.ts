// A model that many ask at a time, by the OpenAI protocol.
export { type Listening, type ListenOptions, listen } from "./listen.ts"
export { createService, type Service, type ServiceOptions } from "./service.ts"
