// Preloaded into `lb` inside user-mode Linux, so that the kernel judges the shipped program as it would on x86-64.
//
// User-mode Linux does not declare HAVE_EFFICIENT_UNALIGNED_ACCESS, though it runs on a processor that has it, and
// its verifier then wants packet bytes read at natural alignment. x86-64 and arm64 declare it. BPF_F_ANY_ALIGNMENT
// (linux/bpf.h, since Linux 5.0) asks for their rule. Nothing else of any system call is changed.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <linux/bpf.h>
#include <stdarg.h>
#include <sys/syscall.h>

long syscall(long number, ...)
{
	static long (*next)(long, ...);
	long word[6];
	va_list list;

	va_start(list, number);
	for (int i = 0; i < 6; i++)
		word[i] = va_arg(list, long);
	va_end(list);
	if (number == SYS_bpf && word[0] == BPF_PROG_LOAD) {
		union bpf_attr *attributes = (union bpf_attr *)word[1];

		attributes->prog_flags |= BPF_F_ANY_ALIGNMENT;
	}
	if (!next)
		next = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
	return next(number, word[0], word[1], word[2], word[3], word[4], word[5]);
}
