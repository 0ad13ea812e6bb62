// Package bisect finds the first of a row of patches that makes a symptom
// appear. It is pure: it says what to test next and what follows from the
// tests; who builds and boots is somebody else.
//
// Position n is the kernel with the first n patches: 0 is the base, which must
// be good, and the last must be bad.
package bisect

// A Mark is what is known of a position.
type Mark string

// The marks.
const (
	Good Mark = "good" // the symptom is not there
	Bad  Mark = "bad"  // it is
	Skip Mark = "skip" // nobody can tell: does not build, does not boot, something else is wrong
)

// Range returns the positions of the last good and the first bad kernel. The
// culprit is patch bad; with skips in between, one of good+1 to bad. Without a
// good position good is -1, without a bad one bad is last+1.
func Range(marks map[int]Mark, last int) (good, bad int) {
	bad = last + 1
	for n := last; n >= 0; n-- {
		if marks[n] == Bad {
			bad = n
		}
	}
	for good = bad - 1; good >= 0 && marks[good] != Good; good-- {
	}
	return good, bad
}

// Next returns the position to test next, the one nearest to the middle of
// what is not known, the ends first; false when there is none left.
func Next(marks map[int]Mark, last int) (int, bool) {
	for _, end := range []int{last, 0} {
		if marks[end] == "" {
			return end, true
		}
	}
	good, bad := Range(marks, last)
	middle := (good + bad) / 2
	for distance := 0; distance <= bad-good; distance++ {
		for _, n := range []int{middle - distance, middle + distance} {
			if n > good && n < bad && marks[n] == "" {
				return n, true
			}
		}
	}
	return 0, false
}
