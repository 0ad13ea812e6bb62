package gotest

import (
	"fmt"
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A Selection says which tests of a package run, and how; the fields are the
// flags of `go test`.
type Selection struct {
	Run, Skip, Bench string
	Count            int // 0 is 1
	Short            bool
	Verbose          bool     // for people who watch: the framing has it all anyway
	Args             []string // after the flags
}

// Flags are the arguments of a test binary that make the selection and give
// its output the framing that Decoder reads.
func (s Selection) Flags() []string {
	flags := []string{"-test.v=test2json", "-test.paniconexit0", "-test.timeout=0"}
	for name, value := range map[string]string{"run": s.Run, "skip": s.Skip, "bench": s.Bench} {
		if value != "" {
			flags = append(flags, "-test."+name+"="+value)
		}
	}
	if s.Count > 0 {
		flags = append(flags, "-test.count="+strconv.Itoa(s.Count))
	}
	if s.Short {
		flags = append(flags, "-test.short")
	}
	slices.Sort(flags)
	return append(flags, s.Args...)
}

// Without is s but for the top-level tests and benchmarks of these names.
func (s Selection) Without(names []string) Selection {
	if len(names) == 0 {
		return s
	}
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = regexp.QuoteMeta(name)
	}
	skip := "^(" + strings.Join(quoted, "|") + ")$"
	if s.Skip != "" {
		skip = s.Skip + "|" + skip
	}
	s.Skip = skip
	return s
}

// Plan returns the names of the top-level tests, examples, fuzz tests (their
// seeds) and benchmarks of p that s selects, sorted, without running anything.
// An error is a regular expression or a file that does not parse.
func (s Selection) Plan(p Package) ([]string, error) {
	run, err := newFilter("-run", s.Run)
	if err != nil {
		return nil, err
	}
	skip, err := newFilter("-skip", s.Skip)
	if err != nil {
		return nil, err
	}
	bench, err := newFilter("-bench", s.Bench)
	if err != nil {
		return nil, err
	}
	all, err := declared(p.TestFiles)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, name := range all {
		chosen := run.selects(name)
		if isTest(name, "Benchmark") {
			chosen = s.Bench != "" && bench.selects(name)
		}
		if chosen && !skip.skips(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// declared returns the names of the tests that files declare.
func declared(files []string) ([]string, error) {
	fset := token.NewFileSet()
	var parsed []*ast.File
	for _, file := range files {
		f, err := parser.ParseFile(fset, file, nil, parser.ParseComments)
		if err != nil {
			return nil, fmt.Errorf("read the tests: %w", err)
		}
		parsed = append(parsed, f)
	}
	var names []string
	for _, f := range parsed {
		for _, decl := range f.Decls {
			if name, ok := testName(decl); ok {
				names = append(names, name)
			}
		}
	}
	for _, example := range doc.Examples(parsed...) {
		// One without expected output is compiled, not run.
		if example.Output != "" || example.EmptyOutput {
			names = append(names, "Example"+example.Name)
		}
	}
	return names, nil
}

// testName returns the name of a function that the testing package calls with
// one argument.
func testName(decl ast.Decl) (string, bool) {
	f, ok := decl.(*ast.FuncDecl)
	if !ok || f.Recv != nil || f.Type.TypeParams != nil || f.Type.Results != nil || f.Type.Params.NumFields() != 1 {
		return "", false
	}
	kinds := map[string]string{"T": "Test", "B": "Benchmark", "F": "Fuzz"}
	prefix := kinds[pointedTo(f.Type.Params.List[0].Type)]
	return f.Name.Name, prefix != "" && isTest(f.Name.Name, prefix)
}

// pointedTo returns X of a parameter type *X or *testing.X.
func pointedTo(expr ast.Expr) string {
	star, ok := expr.(*ast.StarExpr)
	if !ok {
		return ""
	}
	switch x := star.X.(type) {
	case *ast.SelectorExpr:
		return x.Sel.Name
	case *ast.Ident: // import . "testing"
		return x.Name
	}
	return ""
}

// isTest says whether name is prefix followed by no lower case letter.
func isTest(name, prefix string) bool {
	rest, ok := strings.CutPrefix(name, prefix)
	first, _ := utf8.DecodeRuneInString(rest)
	return ok && !unicode.IsLower(first)
}

// A filter is a pattern as the testing package understands it: alternatives
// of elements, one a level of subtests.
type filter []alternative

type alternative struct {
	top  *regexp.Regexp
	deep bool // it has elements for subtests too
}

func newFilter(flag, pattern string) (filter, error) {
	if pattern == "" {
		return nil, nil
	}
	var f filter
	for _, alt := range split(pattern, '|') {
		elements := split(alt, '/')
		for _, element := range elements {
			if _, err := regexp.Compile(element); err != nil {
				return nil, fmt.Errorf("%s %q: %w", flag, pattern, err)
			}
		}
		// What was compiled once compiles again.
		f = append(f, alternative{regexp.MustCompile(elements[0]), len(elements) > 1})
	}
	return f, nil
}

// selects says whether a top-level test runs, perhaps for its subtests alone.
func (f filter) selects(name string) bool {
	return f == nil || slices.ContainsFunc(f, func(a alternative) bool { return a.top.MatchString(name) })
}

// skips says whether a top-level test is left out as a whole.
func (f filter) skips(name string) bool {
	return slices.ContainsFunc(f, func(a alternative) bool { return !a.deep && a.top.MatchString(name) })
}

// split cuts pattern at every sep that is not inside brackets, parentheses or
// behind a backslash.
func split(pattern string, sep byte) []string {
	var parts []string
	start, class, group := 0, 0, 0
	for i := 0; i < len(pattern); i++ {
		switch c := pattern[i]; {
		case c == '\\':
			i++
		case c == '[':
			class++
		case c == ']':
			class = max(0, class-1)
		case c == '(' && class == 0:
			group++
		case c == ')' && class == 0:
			group = max(0, group-1)
		case c == sep && class == 0 && group == 0:
			parts = append(parts, pattern[start:i])
			start = i + 1
		}
	}
	return append(parts, pattern[start:])
}
