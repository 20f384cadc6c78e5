// tap, under whose name the tests import it: the build makes this one file, where tap itself is 268 modules.
export { default, type Test } from "tap"
