// Package law keeps the rules of the house that a machine can check: which
// package may import which, what only programs may do, and that documentation
// is there and true. It holds nothing but tests.
package law
