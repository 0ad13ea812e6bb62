package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/runvm/runvm/internal/verdict"
)

// kcidbRules are those of KCIDB's schema 5.3 for the properties that we write:
// a pattern for a string, "n" for a number, "b" for a boolean, "o" for an
// object. Properties that the schema has and we do not write are not here: no
// others are allowed.
func kcidbRules() map[string]map[string]string {
	const id, origin, text, at = `^[a-z0-9_]+:.*$`, `^[a-z0-9_]+$`, `^[^\x00]*$`, `^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00$`
	const status = `^(FAIL|ERROR|MISS|PASS|DONE|SKIP)$`
	return map[string]map[string]string{
		"checkouts": {"id!": id, "origin!": origin, "comment": text, "patchset_hash": `^$|^[0-9a-f]{64}$`, "start_time": at, "valid": "b", "misc": "o"},
		"builds": {"id!": id, "origin!": origin, "checkout_id!": id, "comment": text, "start_time": at, "duration": "n",
			"architecture": `^[a-z0-9_]*$`, "config_name": text, "status": status, "misc": "o"},
		"tests": {"id!": id, "origin!": origin, "build_id!": id, "path": `^[a-zA-Z0-9_-]+(\.[a-zA-Z0-9_-]+)*$`, "comment": text, "status": status,
			"log_excerpt": text, "start_time": at, "duration": "n", "environment": "o", "misc": "o"},
	}
}

func checkKCIDB(t *testing.T, text string) map[string]any {
	t.Helper()
	var doc map[string]any
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(doc["version"]); got != "map[major:5 minor:3]" {
		t.Errorf("version %s", got)
	}
	ids := map[string]bool{}
	for list, rules := range kcidbRules() {
		for _, item := range doc[list].([]any) {
			object := item.(map[string]any)
			checkObject(t, list, object, rules)
			if id := list + object["id"].(string); ids[id] {
				t.Errorf("%s twice", id)
			} else {
				ids[id] = true
			}
		}
		delete(doc, list)
	}
	if len(doc) != 1 {
		t.Errorf("more than the schema has: %v", doc)
	}
	return doc
}

func checkObject(t *testing.T, list string, object map[string]any, rules map[string]string) {
	t.Helper()
	for name, rule := range rules {
		must, needed := strings.CutSuffix(name, "!")
		value, there := object[must]
		if needed && !there {
			t.Errorf("%s without %s", list, must)
		}
		if there && !keeps(value, rule) {
			t.Errorf("%s: %s is %v", list, must, value)
		}
		if log, ok := value.(string); ok && utf8.RuneCountInString(log) > maxKCIDBLog {
			t.Errorf("%s: %s has %d characters", list, must, utf8.RuneCountInString(log))
		}
	}
	for name := range object {
		if _, a := rules[name]; !a && rules[name+"!"] == "" {
			t.Errorf("%s: %s is not in the schema", list, name)
		}
	}
}

func keeps(value any, rule string) bool {
	switch v := value.(type) {
	case string:
		return len(rule) > 1 && regexp.MustCompile(`(?s)`+rule).MatchString(v)
	case float64:
		return rule == "n"
	case bool:
		return rule == "b"
	case map[string]any:
		return rule == "o"
	}
	return false // null, too
}

func TestKCIDBKeepsTheSchema(t *testing.T) {
	t.Parallel()
	for _, run := range []string{"crash", "fail", "pass"} {
		checkKCIDB(t, render(t, "kcidb.json", recorded(t, run)))
	}
	checkKCIDB(t, render(t, "kcidb.json", hostile()))
	checkKCIDB(t, render(t, "kcidb.json", Source{Report: silent()}))
}

// The digests are of files "a\n" and "b\n"; the hash is what the schema's own
// command, sha256sum *.patch | cut -c-64 | sha256sum | cut -c-64, prints.
func TestPatchsetHash(t *testing.T) {
	t.Parallel()
	k := verdict.Kernel{Tree: "t", Patches: []string{"series"}, Applied: []verdict.Patch{
		{Digest: "87428fc522803d31065e7bce3cf03fe475096631e5e07bbd7a0fde60c4cf25c7"},
		{Digest: "0263829989b6fd954f72baaf2fc64bc2e2f01d692d4de72986ea808f6e99813f"},
	}}
	if got := patchset(k); *got != "7b77b1b66500ed66bdb3e5f10e78f55ab6d4b404fa676ec1bee2ab5b31346a80" {
		t.Errorf("got %s", *got)
	}
	if got := patchset(verdict.Kernel{Tree: "t"}); got == nil || *got != "" {
		t.Errorf("no patches: %v", got)
	}
	if got := patchset(verdict.Kernel{Tree: "t", Patches: []string{"series"}}); got != nil {
		t.Errorf("patches that nobody recorded: %s", *got)
	}
	if got := patchset(verdict.Kernel{}); got != nil {
		t.Errorf("a ready image: %s", *got)
	}
}

func TestKCIDBRefusesBadOrigins(t *testing.T) {
	t.Parallel()
	for _, origin := range []string{"", "Upper", "a:b", "a b"} {
		if err := KCIDB(&bytes.Buffer{}, recorded(t, "pass"), origin); !errors.Is(err, ErrOrigin) {
			t.Errorf("%q: %v", origin, err)
		}
	}
}
