// Package mlog stands in for monis.app/mlog, a logger that the driver's CSI server calls when it
// cannot listen. These tests never run that server; package secretsstore only has to compile. It is
// written from the one call there, because not every module proxy gives out the module itself.
package mlog

// Fatal ends the process with the error.
func Fatal(err error) {
	panic(err)
}
