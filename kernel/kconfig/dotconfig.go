package kconfig

import (
	"bytes"
	"fmt"
	"io"
)

// A DotConfig is what a .config sets. A symbol that is absent is not set.
type DotConfig map[string]string

// ReadDotConfig reads a whole .config.
func ReadDotConfig(r io.Reader) (DotConfig, error) {
	c := DotConfig{}
	err := lines(r, func(n int, line string) error {
		s, ok, err := parseSymbol(line)
		if err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
		if ok && s.Value != "n" {
			c[s.Name] = s.Value
		}
		return nil
	})
	return c, err
}

// Value returns the value of the symbol name, "n" when it is not set.
func (c DotConfig) Value(name string) string {
	if v, ok := c[name]; ok {
		return v
	}
	return "n"
}

// Missing returns those of wanted that the .config does not hold.
func (c DotConfig) Missing(wanted []Symbol) []Symbol {
	var missing []Symbol
	for _, s := range wanted {
		if c.Value(s.Name) != s.Value {
			missing = append(missing, s)
		}
	}
	return missing
}

// Merge returns the .config base with wanted in place of what base says about
// the same symbols.
func Merge(base []byte, wanted []Symbol) ([]byte, error) {
	replaced := map[string]bool{}
	for _, s := range wanted {
		replaced[s.Name] = true
	}
	var out bytes.Buffer
	err := lines(bytes.NewReader(base), func(n int, line string) error {
		s, ok, err := parseSymbol(line)
		if err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
		if !ok || !replaced[s.Name] {
			out.WriteString(line + "\n")
		}
		return nil
	})
	for _, s := range wanted {
		out.WriteString(s.Line() + "\n")
	}
	return out.Bytes(), err
}
