// Logits divided by a temperature: below 1 the likely become likelier.
import { numeric } from "./check.ts"

export const temperature = numeric({
  field: "temperature",
  help: "divides the logits; 0 takes the likeliest token",
  range: { from: 0 },
  isForSampling: true,
  isOnDevice: true,
  change: (by) =>
    by === 1
      ? undefined
      : (scores) => {
          for (let i = 0; i < scores.length; i++) scores[i] = (scores[i] as number) / by
        },
})
