package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// roff is a man page in the making, in the macros of man(7).
type roff struct{ strings.Builder }

// title begins the page. It bears no date, so that the same source makes the same
// page on any day.
func (p *roff) title(name, source string) {
	fmt.Fprintf(p, ".TH \"%s\" 1 \"\" \"%s\" \"brokerd\"\n", escapeRoff(strings.ToUpper(name)), escapeRoff(source))
}

func (p *roff) section(name string) { fmt.Fprintf(p, ".SH %s\n", name) }

func (p *roff) bold(text string) { fmt.Fprintln(p, boldRoff(text)) }

// line writes one line of text, which a leading dot does not make a macro.
func (p *roff) line(text string) {
	text = escapeRoff(text)
	if strings.HasPrefix(text, ".") {
		text = `\&` + text
	}
	fmt.Fprintln(p, text)
}

// text writes what a help text holds: paragraphs, to be filled, and indented lines,
// to be left as they are.
func (p *roff) text(help string) {
	asIs := false
	turn := func(on bool) {
		switch {
		case on && !asIs:
			p.WriteString(".RS 2\n.nf\n")
		case !on && asIs:
			p.WriteString(".fi\n.RE\n")
		}
		asIs = on
	}
	for line := range strings.Lines(help) {
		line = strings.TrimRight(line, "\n")
		if line == "" {
			turn(false)
			p.WriteString(".PP\n")
			continue
		}
		turn(strings.HasPrefix(line, "  "))
		p.line(strings.TrimPrefix(line, "  "))
	}
	turn(false)
}

// flags lists flags with what they take, mean and default to.
func (p *roff) flags(flags *pflag.FlagSet) {
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		value, usage := pflag.UnquoteUsage(f)
		name := boldRoff("--" + f.Name)
		if f.Shorthand != "" {
			name = boldRoff("-"+f.Shorthand) + ", " + name
		}
		if f.NoOptDefVal == "" {
			name += ` \fI` + escapeRoff(strings.ToUpper(value)) + `\fR`
		}
		if !slices.Contains([]string{"", "0", "0s", "false", "[]"}, f.DefValue) {
			usage += fmt.Sprintf(" (default %s)", f.DefValue)
		}
		p.item(name, usage)
	})
}

// item is an entry of a list: a term, in roff, and what there is to say about it.
func (p *roff) item(term, text string) {
	fmt.Fprintf(p, ".TP\n%s\n", term)
	p.line(text)
}

func boldRoff(text string) string { return `\fB` + escapeRoff(text) + `\fR` }

// escapeRoff keeps characters as they are typed: a formatter would make other ones
// of them, which cannot be pasted into a shell.
func escapeRoff(text string) string {
	return strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "`", `\(ga`, "^", `\(ha`, "~", `\(ti`, `"`, `\(dq`).Replace(text)
}
