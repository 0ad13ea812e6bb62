package report

import (
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/runvm/runvm/internal/verdict"
)

// TestSchemaIsDocumented holds every struct of report.json against
// docs/report.md: each has a section, each of its fields a row there.
func TestSchemaIsDocumented(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/report.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]bool{}
	section := ""
	row := regexp.MustCompile("^\\| `([a-z_]+)` (?:\\\\\\* )?\\|")
	for _, l := range strings.Split(string(text), "\n") {
		if name, ok := strings.CutPrefix(l, "### "); ok {
			section = name
		}
		if m := row.FindStringSubmatch(l); m != nil {
			documented[section+"."+m[1]] = true
		}
	}
	seen := map[reflect.Type]bool{}
	checkDocumented(t, reflect.TypeOf(verdict.Report{}), documented, seen)
	if len(seen) < 11 {
		t.Errorf("%d structs: the walk did not reach them all", len(seen))
	}
}

func checkDocumented(t *testing.T, typ reflect.Type, documented map[string]bool, seen map[reflect.Type]bool) {
	t.Helper()
	for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice || typ.Kind() == reflect.Array {
		typ = typ.Elem()
	}
	if typ.Kind() != reflect.Struct || seen[typ] || typ.PkgPath() == "time" {
		return
	}
	seen[typ] = true
	for _, f := range reflect.VisibleFields(typ) {
		if f.Anonymous {
			continue
		}
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" {
			t.Errorf("%s.%s has no name in JSON", typ.Name(), f.Name)
		}
		if !documented[typ.Name()+"."+name] {
			t.Errorf("docs/report.md, section %s: no row for `%s`", typ.Name(), name)
		}
		checkDocumented(t, f.Type, documented, seen)
	}
}
