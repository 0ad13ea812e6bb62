package source

import (
	"fmt"
	"os"
	"regexp"
	"strings"
)

// A spec is what the user wrote, understood.
type spec struct {
	path    string // a local tree
	series  string // "6.12": the newest of it
	release string // "6.12.63", "6.12": exactly this release of kernel.org
}

var versions = regexp.MustCompile(`^(v?)([0-9]{1,2}\.[0-9]{1,3})(\.[0-9]{1,4})?$`)

const specForms = "want 6.12 (newest), 6.12.63 or v6.12 (kernel.org), or a folder such as ./linux"

func parseSpec(text string) (spec, error) {
	if strings.Contains(text, "/") || text == "." || text == ".." {
		return spec{path: text}, nil
	}
	m := versions.FindStringSubmatch(text)
	switch {
	case m == nil:
		if _, err := os.Stat(text); err == nil && text != "" {
			return spec{}, fmt.Errorf("%w %q: to name the folder here, write ./%s", ErrUnknown, text, text)
		}
		return spec{}, fmt.Errorf("%w %.60q: %s", ErrUnknown, text, specForms)
	case m[1] == "" && m[3] == "":
		return spec{series: m[2]}, nil
	default:
		// kernel.org calls the first release of 6.12 "6.12", Makefile "6.12.0".
		return spec{release: strings.TrimSuffix(m[2]+m[3], ".0")}, nil
	}
}
