// Package toy has no tests.
package toy
