// Package mlog stands in for monis.app/mlog, a logger that the driver's CSI server (never run by
// these tests) calls when it cannot listen. Of that module's two dozen functions this is the one
// that package secretsstore needs to compile; it is written from its signature, and spares the
// tests a module from a vanity host that not every module proxy gives out.
package mlog

// Fatal ends the process with the error.
func Fatal(err error) {
	panic(err)
}
