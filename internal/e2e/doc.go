// Package e2e runs runvm itself, as a user would, on kernels that really pass,
// fail, crash, hang and stay silent. Its tests and benchmarks need the build
// tag e2e and ./runvm; `make e2e` and `make bench` start them.
package e2e
