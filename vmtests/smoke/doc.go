// Package smoke is the smallest guest test there is: the machine boots, has
// its file systems, keeps time. It is what the speed of a run is measured
// with, so it must stay small and quick.
package smoke
