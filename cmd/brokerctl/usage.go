package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// suggestionLetters is in how many letters a verb or flag may be mistyped to be
// guessed.
const suggestionLetters = 2

// args wants the arguments that names list. An argument in brackets may be
// left out, one that ends in dots may be repeated.
func args(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, given []string) error {
		need := 0
		for _, n := range names {
			if !strings.HasPrefix(n, "[") {
				need++
			}
		}
		many := len(names) > 0 && strings.HasSuffix(names[len(names)-1], "...")
		switch {
		case len(given) < need:
			missing := strings.TrimSuffix(names[len(given)], "...")
			return fmt.Errorf("%s: %s is missing; see %s --help", verb(cmd), missing, cmd.CommandPath())
		case len(given) > len(names) && !many:
			return fmt.Errorf("%s: %q is too much; it takes %s", verb(cmd), given[len(names)], argList(names))
		}
		return nil
	}
}

func argList(names []string) string {
	if len(names) == 0 {
		return "no arguments"
	}
	return strings.Join(names, " ")
}

// verb is the name of a command without that of the program, which begins each
// error already.
func verb(cmd *cobra.Command) string {
	return strings.TrimPrefix(cmd.CommandPath(), cmd.Root().Name()+" ")
}

// verbOf refuses an unknown verb below cmd and suggests similar ones.
func verbOf(cmd *cobra.Command, given []string) error {
	if len(given) == 0 {
		return nil
	}
	return fmt.Errorf("unknown command %q for %q%s", given[0], cmd.CommandPath(), didYouMean(verbsLike(cmd, given[0])))
}

// verbsLike are the verbs below cmd that typed may stand for: similar ones, and
// those of that name one level further down.
func verbsLike(cmd *cobra.Command, typed string) []string {
	similar := cmd.SuggestionsFor(typed)
	for _, group := range cmd.Commands() {
		for _, sub := range group.Commands() {
			if group.IsAvailableCommand() && (sub.Name() == typed || sub.HasAlias(typed)) {
				similar = append(similar, group.Name()+" "+sub.Name())
			}
		}
	}
	return similar
}

// didYouMean is the end of an error that suggests words; nothing without any.
func didYouMean(words []string) string {
	if len(words) == 0 {
		return ""
	}
	slices.Sort(words)
	return fmt.Sprintf(", did you mean \"%s\"?", strings.Join(words, `" or "`))
}

// flagError puts what is wrong with a flag into words.
func flagError(cmd *cobra.Command, err error) error {
	if given := cmd.Flags().Args(); cmd.HasSubCommands() && len(given) > 0 {
		return verbOf(cmd, given) // a flag of a verb that was mistyped
	}
	var unknown *pflag.NotExistError
	var bad *pflag.InvalidValueError
	switch {
	case errors.As(err, &unknown) && unknown.GetSpecifiedShortnames() == "":
		if similar := flagsLike(cmd, unknown.GetSpecifiedName()); len(similar) > 0 {
			return fmt.Errorf("%w%s", err, didYouMean(similar))
		}
		return fmt.Errorf("%w; see %s --help", err, cmd.CommandPath())
	case errors.As(err, &bad):
		return fmt.Errorf("invalid argument %q for --%s: %w", bad.GetValue(), bad.GetFlag().Name, expected(bad))
	}
	return err
}

// flagsLike are the flags of cmd that a mistyped one may stand for. How alike two
// words are cobra tells of commands only, so the flags are made some.
func flagsLike(cmd *cobra.Command, typed string) (similar []string) {
	group := &cobra.Command{SuggestionsMinimumDistance: suggestionLetters}
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		group.AddCommand(&cobra.Command{Use: f.Name, Hidden: f.Hidden, Run: func(*cobra.Command, []string) {}})
	})
	for _, name := range group.SuggestionsFor(typed) {
		similar = append(similar, "--"+name)
	}
	return similar
}

// expected says what a flag takes, in place of what strconv and time say.
func expected(bad *pflag.InvalidValueError) error {
	switch bad.GetFlag().Value.Type() {
	case "duration":
		return errors.New("expected a time with its unit, such as 500ms, 5s or 1m30s")
	case "uint64":
		return errors.New("expected a whole number, 1 or more")
	case "int":
		return errors.New("expected a whole number")
	case "bool":
		return errors.New("expected true or false")
	}
	return bad.Unwrap()
}
