package compiled

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/runvm/runvm/kernel/kconfig"
)

// A truth is what is known of a condition.
type truth int8

const (
	unknown truth = iota
	no
	yes
)

func known(b bool) truth {
	if b {
		return yes
	}
	return no
}

func (t truth) not() truth {
	switch t {
	case yes:
		return no
	case no:
		return yes
	}
	return unknown
}

var exprTokens = regexp.MustCompile(`[A-Za-z_][A-Za-z0-9_]*|[0-9][0-9A-Za-z]*|&&|\|\||[<>=!]=|<<|>>|.`)

// evaluate says what a condition of the preprocessor, or of an if, comes to
// with the configuration c, and which of its symbols decided: what they would
// have to be for it to come out otherwise.
func evaluate(text string, c kconfig.DotConfig) (truth, []cond) {
	if len(text) > maxExpr {
		return unknown, nil
	}
	e := &expr{config: c}
	for _, t := range exprTokens.FindAllString(text, -1) {
		if strings.TrimSpace(t) != "" {
			e.tokens = append(e.tokens, t)
		}
	}
	value := e.or(0)
	if e.bad || len(e.tokens) > 0 {
		return unknown, nil
	}
	return value.truth, value.conds
}

// An expr is a condition that is being read.
type expr struct {
	tokens []string
	config kconfig.DotConfig
	bad    bool
}

// A value is a truth and what decided it.
type value struct {
	truth truth
	conds []cond
}

func (e *expr) peek() string {
	if len(e.tokens) == 0 {
		return ""
	}
	return e.tokens[0]
}

func (e *expr) accept(token string) bool {
	if e.peek() != token {
		return false
	}
	e.tokens = e.tokens[1:]
	return true
}

func (e *expr) next() string {
	t := e.peek()
	if t == "" {
		e.bad = true
		return ""
	}
	e.tokens = e.tokens[1:]
	return t
}

func (e *expr) or(depth int) value {
	v := e.and(depth)
	for e.accept("||") {
		v = either(v, e.and(depth), yes)
	}
	return v
}

func (e *expr) and(depth int) value {
	v := e.not(depth)
	for e.accept("&&") {
		v = either(v, e.not(depth), no)
	}
	return v
}

// either joins two operands of an operator for which one that is decides is
// enough: yes for ||, no for &&.
func either(a, b value, decides truth) value {
	switch {
	case a.truth == decides && b.truth == decides:
		return value{decides, slices.Concat(a.conds, b.conds)}
	case a.truth == decides:
		return a
	case b.truth == decides:
		return b
	case a.truth == unknown || b.truth == unknown:
		return value{}
	}
	return value{decides.not(), slices.Concat(a.conds, b.conds)}
}

func (e *expr) not(depth int) value {
	if depth > maxNested {
		e.bad = true
		return value{}
	}
	if e.accept("!") {
		v := e.not(depth + 1)
		return value{v.truth.not(), v.conds}
	}
	return e.compare(depth)
}

// compare reads an operand; what is compared or computed is not known.
func (e *expr) compare(depth int) value {
	v := e.operand(depth)
	for {
		switch e.peek() {
		case "", ")", "&&", "||":
			return v
		case "?", ":", ",":
			e.bad = true
			return value{}
		}
		e.next()
		if t := e.peek(); t != "" && t != ")" {
			e.operand(depth)
		}
		v = value{}
	}
}

func (e *expr) operand(depth int) value {
	switch t := e.next(); {
	case e.bad || depth > maxNested:
		e.bad = true
		return value{}
	case t == "(":
		v := e.or(depth + 1)
		if !e.accept(")") {
			e.bad = true
		}
		return v
	case t == "-" || t == "~" || t == "+" || t == "*" || t == "&":
		e.operand(depth + 1)
		return value{}
	case t[0] >= '0' && t[0] <= '9':
		n, err := strconv.ParseUint(strings.TrimRight(t, "uUlL"), 0, 64)
		if err != nil {
			return value{}
		}
		return value{truth: known(n != 0)}
	case e.peek() == "(" || t == "defined":
		return e.call(t, depth)
	default:
		return e.name(t)
	}
}

// call reads the argument of a macro or function.
func (e *expr) call(name string, depth int) value {
	parens := e.accept("(")
	arg := e.peek()
	symbol, isSymbol := strings.CutPrefix(arg, "CONFIG_")
	if isSymbol && (!parens || len(e.tokens) > 1 && e.tokens[1] == ")") {
		e.next()
		if parens {
			e.next()
		}
		return e.symbol(name, symbol)
	}
	if !parens { // defined X
		e.next()
		return value{}
	}
	if name == "defined" && arg == "__KERNEL__" {
		e.next()
		if !e.accept(")") {
			e.bad = true
		}
		return value{truth: yes}
	}
	for open := 1; open > 0 && !e.bad; {
		switch e.next() {
		case "(":
			open++
		case ")":
			open--
		}
	}
	return value{}
}

// symbol is what a macro of include/linux/kconfig.h, or defined, says of a
// symbol.
func (e *expr) symbol(macro, name string) value {
	v := e.config.Value(name)
	switch macro {
	case "defined":
		// The symbol of a module is another: CONFIG_X_MODULE.
		if base, ok := strings.CutSuffix(name, "_MODULE"); ok && e.config.Value(base) != "n" {
			return value{truth: known(e.config.Value(base) == "m")}
		}
		return e.decided(name, v != "n" && v != "m", true)
	case "IS_ENABLED":
		return e.decided(name, v == "y" || v == "m", false)
	case "IS_BUILTIN":
		return e.decided(name, v == "y", true)
	case "IS_MODULE":
		return e.decided(name, v == "m", false)
	case "IS_REACHABLE": // from a module it is more
		if v == "m" {
			return value{}
		}
		return e.decided(name, v == "y", true)
	}
	return value{}
}

// name is an identifier that stands alone. In #if an undefined one is 0; of
// those that are no symbols it is not known whether they are defined.
func (e *expr) name(t string) value {
	symbol, ok := strings.CutPrefix(t, "CONFIG_")
	if !ok {
		return value{}
	}
	switch v := e.config.Value(symbol); v {
	case "n", "m":
		return e.decided(symbol, false, true)
	case "y":
		return e.decided(symbol, true, true)
	default:
		n, err := strconv.ParseInt(v, 0, 64)
		if err != nil {
			return value{}
		}
		return value{truth: known(n != 0)}
	}
}

// decided is the truth t that the symbol name has by its value, and what it
// would have to be for the other.
func (e *expr) decided(name string, t, builtin bool) value {
	return value{known(t), []cond{{symbol: name, set: !t, builtin: builtin}}}
}
