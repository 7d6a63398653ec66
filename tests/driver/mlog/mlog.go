// Package mlog stands in for monis.app/mlog, the logger of the driver's main program and CSI server, because not every
// module proxy serves that module. It is written from the calls in the driver, and does what the driver needs of it:
// it sets klog's verbosity, and reports errors.
package mlog

import (
	"context"
	"flag"
	"strconv"

	"k8s.io/klog/v2"
)

// Format is a format of log lines. klog writes text, whichever is asked for.
type Format string

// Formats that the driver knows.
const (
	FormatText Format = "text"
	FormatJSON Format = "json"
)

// Setup prepares the log. The returned function flushes it.
func Setup() func() {
	return klog.Flush
}

// ValidateAndSetKlogLevelAndFormatGlobally sets klog's verbosity for the whole process.
func ValidateAndSetKlogLevelAndFormatGlobally(_ context.Context, level klog.Level, _ Format) error {
	flags := flag.NewFlagSet("klog", flag.ContinueOnError)
	klog.InitFlags(flags)
	return flags.Set("v", strconv.Itoa(int(level)))
}

// Error logs an error.
func Error(message string, err error, fields ...any) {
	klog.ErrorS(err, message, fields...)
}

// Fatal logs an error and ends the process.
func Fatal(err error) {
	klog.Fatal(err)
}
