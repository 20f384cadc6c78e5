// Promises that nobody waits for: statements whose value is one, or may be one, and is let go. Types say
// so, also through generics and what libraries give, where biome's rule of the same name sees nothing.
import ts from "typescript"

/** Places of such statements in the sources of a program, as file:line: code. */
export function floatingPromises(program: ts.Program): string[] {
  const checker = program.getTypeChecker()
  const found: string[] = []
  for (const file of program.getSourceFiles()) {
    if (file.isDeclarationFile || program.isSourceFileFromExternalLibrary(file)) continue
    const visit = (node: ts.Node): void => {
      if (ts.isExpressionStatement(node) && isFloating(checker, node.expression)) {
        const { line } = file.getLineAndCharacterOfPosition(node.getStart(file))
        const [code] = node.getText(file).split("\n")
        found.push(`${file.fileName}:${line + 1}: ${code}`)
      }
      ts.forEachChild(node, visit)
    }
    visit(file)
  }
  return found
}

function isFloating(checker: ts.TypeChecker, node: ts.Expression): boolean {
  // Waited for, let go on purpose, or kept.
  if (ts.isAwaitExpression(node) || ts.isVoidExpression(node)) return false
  if (ts.isBinaryExpression(node) && isAssignment(node.operatorToken.kind)) return false
  if (!mayBePromise(checker.getTypeAtLocation(node))) return false
  if (!ts.isCallExpression(node) || !ts.isPropertyAccessExpression(node.expression)) return true
  const { name } = node.expression
  const isCaught = name.text === "catch" || (name.text === "then" && node.arguments.length > 1)
  return !isCaught && !isTest(checker, name)
}

const isAssignment = (kind: ts.SyntaxKind): boolean =>
  kind >= ts.SyntaxKind.FirstAssignment && kind <= ts.SyntaxKind.LastAssignment

const mayBePromise = (type: ts.Type): boolean =>
  type.isUnion() ? type.types.some(mayBePromise) : type.getProperty("then") !== undefined

/** Whether that is tap's own `test`, for which tap waits. */
const isTest = (checker: ts.TypeChecker, name: ts.MemberName): boolean =>
  name.text === "test" &&
  (checker.getSymbolAtLocation(name)?.declarations ?? []).some((each) =>
    each.getSourceFile().fileName.includes("/node_modules/@tapjs/"),
  )
