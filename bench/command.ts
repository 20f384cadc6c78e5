// How a person who reads an advice calls this program: by npx where that is how it was called.
export const command = process.env.npm_command === "exec" ? "npx elm" : "elm"
