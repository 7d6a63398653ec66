/* The container that holds the namespaces of a pod: it waits for its end. */
#include <signal.h>
#include <unistd.h>

static void end(int signal)
{
	(void)signal;
	_exit(0);
}

int main(void)
{
	signal(SIGTERM, end);
	signal(SIGINT, end);
	/* Adopted processes that end leave no zombie. */
	signal(SIGCHLD, SIG_IGN);
	for (;;)
		pause();
}
