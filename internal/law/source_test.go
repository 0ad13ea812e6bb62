package law

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// programs may read flags and the environment, print and exit; vmtests/guest
// asks the environment whether it is in a guest.
func program(p listed) bool {
	return p.Name == "main" || strings.HasSuffix(p.ImportPath, "vmtests/guest")
}

// forbidden in libraries: selector, and why.
func forbidden() map[string]string {
	const why = "belongs to programs alone"
	return map[string]string{
		"os.Exit": why, "os.Getenv": why, "os.LookupEnv": why, "os.Args": why, "os.Stdout": why, "os.Stdin": why,
		"fmt.Print": why, "fmt.Println": why, "fmt.Printf": why, "log.Fatal": why, "log.Fatalf": why,
		"flag.String": why, "flag.Bool": why, "flag.Int": why, "flag.Duration": why, "flag.Parse": why,
	}
}

func TestLibrariesDoNotActLikePrograms(t *testing.T) {
	for _, p := range packages(t) {
		for _, name := range p.GoFiles {
			file := filepath.Join(p.Dir, name)
			fset := token.NewFileSet()
			f, err := parser.ParseFile(fset, file, nil, parser.SkipObjectResolution|parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			checkDecls(t, fset, f)
			if !program(p) {
				checkSelectors(t, fset, f)
			}
		}
	}
}

// checkDecls refuses init functions and package variables that change: what
// is left are variables made once by a call to errors.New, regexp.MustCompile,
// and their like, and those go:embed fills.
func checkDecls(t *testing.T, fset *token.FileSet, f *ast.File) {
	for _, d := range f.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil && d.Name.Name == "init" {
				t.Errorf("%v: init function: effects at import", fset.Position(d.Pos()))
			}
		case *ast.GenDecl:
			if d.Tok != token.VAR || embedded(d) {
				continue
			}
			for _, s := range d.Specs {
				if v := s.(*ast.ValueSpec); len(v.Values) == 0 && v.Names[0].Name != "_" {
					t.Errorf("%v: package variable %s without a value: it can only be there to be changed", fset.Position(v.Pos()), v.Names[0].Name)
				}
			}
		}
	}
}

func embedded(d *ast.GenDecl) bool {
	return d.Doc != nil && strings.Contains(d.Doc.List[len(d.Doc.List)-1].Text, "go:embed")
}

func checkSelectors(t *testing.T, fset *token.FileSet, f *ast.File) {
	names := map[string]bool{}
	for _, imp := range f.Imports {
		path, _ := strconv.Unquote(imp.Path.Value)
		names[path] = true
	}
	ast.Inspect(f, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		x, ok := sel.X.(*ast.Ident)
		if !ok || !names[x.Name] {
			return true
		}
		if why, bad := forbidden()[x.Name+"."+sel.Sel.Name]; bad {
			t.Errorf("%v: %s.%s %s", fset.Position(n.Pos()), x.Name, sel.Sel.Name, why)
		}
		return true
	})
}
