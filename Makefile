# ica.c: `make help` prints the lines that begin with "#: ".
#
#: make              the program, ./ica
#: make test         all tests: float, double, sanitizers, other compilers, end to end (minutes)
#: make quick-test   the float tests alone
#: make double       ./ica-double: the audit build, every number a double
#: make naive        ./ica-naive: everything by its plain definition, slowly
#: make install      the program, its manual page and completions: PREFIX=/usr/local, DESTDIR=;
#:                   make uninstall removes them
#: make clean        removes what was built; out/ stays
#: ./run.sh          the main job; ./run.sh full, ./run.sh control
#:
#: What the tests check, in parts:
#: make trace        each equation and layer: where it is computed, explained and tested
#: make house        columns, lengths, includes, comments and style; make format applies the style
#: make examples     the example in each header, compiled and run
#: make formats      docs/formats.md against the keys that the program writes
#: make commands     docs/commands.md against the program's help
#: make kills        1000 runs killed at any instant and resumed: the same bits (4 minutes;
#:                   KILLS=100 for fewer)
#: make scarcity     no memory, no disk: each call fails once, in each command (15 minutes;
#:                   EVERY=1 for every allocation, hours)
#: make idle         options that nothing reads: each with each method (a minute)
#: make large        pools of a million records: time, and memory for each (minutes)
#: make soak         runs of a million steps: memory and open files stay flat (minutes)
#: make coverage     which lines and branches the tests run (minutes)
#: make machines     two builds are one; gcc, clang, -O1, -O3: the same bits; 32 bits (minutes)
#: make audit        every equation against its other side, on exact, small and trained models
#:                   (minutes); make audit-exact: the part without trained models (seconds)
#: make audit-torch  log-likelihoods, gradients, AdamW and training against PyTorch, where it is
#:                   installed (a minute)
#: make judge-transformers  model folders against Hugging Face's transformers, where it is
#:                   installed: it loads them, generates and stops (a minute)
#: make judge-tokenizers  ids of random strings against the library tokenizers, where it is
#:                   installed (minutes; STRINGS=1000000 TOKENIZERS="..." TEXTS="...")
#: make judge-tensorboard
#:                   event files of --report-to tensorboard against the real tensorboard, where it
#:                   is installed (seconds)
#: make judge-adapters  LoRA's adapters between PEFT and the program, both ways, where it is
#:                   installed (a minute)
#: make judge-trl    SFT, DPO and SimPO step by step by TRL's trainers, for all families and with
#:                   adapters, where it is installed (minutes)
#: make judge-page   the report's page in a browser, where chromium is installed: telephone and
#:                   desk, light and dark (a minute)
#: make judge-folders  folders of GPT-2, Llama, Qwen2 and Qwen3 from transformers to the program
#:                   and back, where it is installed (a minute)
#: make judge-cluster  docs/cluster.md: its trainers in TRL and accelerate against ica train, its
#:                   shards under GNU parallel, where these are installed (minutes)
#: make portability  another C library (musl-gcc) and processor (aarch64 under qemu), and compiled
#:                   for macOS by zig cc, where these are installed (half an hour)
#: make tutorial     docs/tutorial.md: runs its commands and compares what they print (minutes)
#: make fuzz         every reader on broken input, with clang's libFuzzer and sanitizers (minutes;
#:                   FUZZ_SECONDS=60 for each of the readers)
#: make mutate       200 small defects, one at a time: do the tests find them? (an hour)
#:
#: Measurements:
#: make study        the study of docs/results.md over 3 bases and 5 draws; resumable (hours);
#:                   ONLY="maps rho" BASES="1:12000" for a part
#: make traps        its part on what goes wrong in the paper's public code
#: make stories MODEL=DIR
#:                   ICA on 2,000 stories that stories260K wrote itself, half of them spoiled;
#:                   resumable (half an hour)
#: make bench        how fast products and training steps run here
#: make profile      the functions in which a step of the main job's size spends its time, where
#:                   perf is installed (seconds)
#: make bench-anchors LLMC=DIR
#:                   the same in pairs with OpenBLAS, PyTorch and llm.c's train_gpt2, where present
#: make bench-backbones
#:                   beside transformers and peft: SmolLM2-135M, Qwen3-0.6B, Llama-3.2-1B (half
#:                   an hour)
#: make bench-neighbor
#:                   one thread, all, and --threads 0: alone, and beside a busy program (minutes)
#: make bench-turns OLD=PROGRAM
#:                   training steps of an older ./ica and of this one, in turn
#: make scale        how time and memory grow with pool, length, k, channels, layers, vocabulary;
#:                   hours for 124M (minutes)
#:
#: Options: CC=clang  NO_OMP=1  ARCH=-march=x86-64-v3 (or empty)  EXTRA=-Werror  V=1
CC ?= cc
# As many commands at once as there are cores, unless -j or a make above this one says how many.
ifeq ($(filter -j%,$(MAKEFLAGS))$(filter-out 0,$(MAKELEVEL)),)
MAKEFLAGS += -j$(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
endif
# -O3: unroll and vectorize. -fno-math-errno: sqrt is one instruction (NaN keeps its meaning).
# -fno-trapping-math: no code looks at the flags that a comparison sets, so gcc may compute both
# sides of exp's range checks. Without it gcc makes no vectors where there is no AVX-512; no result
# changes. -ffp-contract=off: a product and a sum fuse only where the source says so, so that gcc
# and clang agree. Never -ffast-math: it would remove the NaN checks.
OPT = -O3 -fno-math-errno -fno-trapping-math -ffp-contract=off
# Beside _POSIX_C_SOURCE macOS hides mkdtemp and others unless this name is defined, too.
STD = -std=c11 -D_DARWIN_C_SOURCE=1
# Constants are enums in this code, also in sums with doubles.
WARN = -Wall -Wextra -Wshadow -Wconversion -Wwrite-strings -Wno-unknown-pragmas \
	-Wno-enum-float-conversion
EXTRA =
# A build names what it makes; `make V=1` shows the whole commands.
Q = $(if $(V),,@echo "  $@" &&)

# A flag counts as usable when a program compiles AND links with it.
try = $(shell d=$$(mktemp -d) && printf '%s\n' '$(2)' > $$d/t.c && \
	$(CC) $(1) $$d/t.c -o $$d/t >/dev/null 2>&1 && echo '$(1)'; rm -rf "$$d")
EMPTY_MAIN = int main(void) { return 0; }
OMP_MAIN = extern int omp_get_max_threads(void); \
	int main(void) { return omp_get_max_threads() < 1; }
OMP_MAC = -Xpreprocessor -fopenmp -I$(1)/include -L$(1)/lib -lomp

# -march=native: the vectors of this machine, and all of their width: for some machines with AVX-512
# compilers take half unless they are told. `make ARCH=` builds for any machine of its kind,
# `make NO_OMP=1` for one thread.
ifeq ($(origin ARCH),undefined)
ARCH := $(call try,-march=native,$(EMPTY_MAIN)) \
	$(call try,-mprefer-vector-width=512,$(EMPTY_MAIN))
endif
ifeq ($(NO_OMP),)
OMP := $(call try,-fopenmp,$(OMP_MAIN))
ifeq ($(OMP),)
OMP := $(call try,$(call OMP_MAC,/opt/homebrew/opt/libomp),$(OMP_MAIN))
endif
ifeq ($(OMP),)
OMP := $(call try,$(call OMP_MAC,/usr/local/opt/libomp),$(OMP_MAIN))
endif
ifeq ($(OMP),)
$(info note: no OpenMP found: building for one thread (on a Mac: brew install libomp))
endif
endif

FLAGS = $(STD) $(OPT) $(ARCH) $(WARN) $(EXTRA) $(OMP)
FOLDERS = . lib lib/fast scoring data data/corpus program program/report
SOURCES = $(sort $(patsubst ./%,%,$(wildcard $(FOLDERS:%=%/*.c))))
# The audit's tolerances are those of double precision; what it needs beside its main function:
AUDIT_EXACT = $(addprefix tests/audit/,audit.o audit_exact.o audit_product.o audit_training.o)
# Each tests/unit/test_*.c is a program, each tests/system/*.sh a script (but run.sh, which runs
# them, and check.sh, which they read); both end with a line "NAME: N passed, N failed".
TESTS = $(filter-out tests/unit/test_audit.c,$(sort $(wildcard tests/unit/test_*.c)))
# These run ./ica some hundred times, and in one flavor alone.
PROGRAM_TESTS = $(addprefix tests/unit/,test_train.c test_finite.c test_references.c \
	test_dry_run.c test_states.c test_inspect.c)
# Programs whose arithmetic is tested in both precisions, and the audit.
DOUBLE_TESTS = test_model test_families test_parameters test_gemm test_ica test_methods \
	test_scoring test_pairs test_audit

all: ica

help:
	@sed -n 's/^#: \{0,1\}//p' Makefile

# One folder of objects for each flavor of the build. Beside each object stand the headers that it
# depends on, as the compiler found them.
define FLAVOR
build/$(1)/%.o: %.c Makefile
	@mkdir -p $$(dir $$@)
	$$(Q) $$(CC) $$(FLAGS) $(2) -I. -MMD -MP \
		-DBUILD_FLAGS='"$$(strip $$(OPT) $$(ARCH) $$(OMP) $(2))"' -c $$< -o $$@
build/$(1)/tests/%: build/$(1)/tests/%.o \
		build/$(1)/tests/reference/oracle.o build/$(1)/tests/unit/world.o \
		$$(patsubst %.c,build/$(1)/%.o,$$(filter-out program/main.c,$$(SOURCES)))
	$$(Q) $$(CC) $$(FLAGS) $(2) $$^ -o $$@ -lm
build/$(1)/ica: $$(patsubst %.c,build/$(1)/%.o,$$(SOURCES))
	$$(Q) $$(CC) $$(FLAGS) $(2) $$^ -o $$@ -lm
build/$(1)/scarcity: build/$(1)/tests/system/scarcity.o $$(patsubst %.c,build/$(1)/%.o,$$(SOURCES))
	$$(Q) $$(CC) $$(FLAGS) $(2) $$^ -o $$@ -lm
endef
SANITIZE = -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all
# What clang's OpenMP library never frees is no leak of ours.
export LSAN_OPTIONS = suppressions='$(CURDIR)/tests/system/leaks.known':print_suppressions=0
$(eval $(call FLAVOR,float,))
$(eval $(call FLAVOR,double,-DREAL_DOUBLE))
$(eval $(call FLAVOR,naive,-DNAIVE))
$(eval $(call FLAVOR,naive-double,-DNAIVE -DREAL_DOUBLE))
$(eval $(call FLAVOR,sanitize,$(SANITIZE)))
$(eval $(call FLAVOR,coverage,$$(COUNTED)))
# What computes is not counted, and fast: then the tests are over in minutes.
COUNTED = -O0 --coverage
$(patsubst %.c,build/coverage/%.o,model.c $(wildcard lib/fast/*.c) $(addprefix lib/,gemm.c \
	layers.c lora.c shape.c adamw.c table.c) tests/reference/oracle.c): COUNTED = -O2
KEPT = $(addprefix build/,float/tests/fuzz/kept sanitize/tests/fuzz/kept)
COVERED = build/coverage/tests/fuzz/kept
$(KEPT) $(COVERED): build/%/tests/fuzz/kept: build/%/tests/fuzz/targets.o
build/double/tests/unit/test_audit: $(AUDIT_EXACT:%=build/double/%)
build/double/tests/audit/audit_main: $(AUDIT_EXACT:%=build/double/%) \
		$(addprefix build/double/tests/audit/,audit_trained.o audit_claims.o)
-include $(shell find build -name '*.d' 2>/dev/null)

# A program that runs keeps its file, which a copy over it could not replace.
put = cp $(1) $(2).new && mv -f $(2).new $(2)
ica: build/float/ica
	@$(call put,$<,ica)
double: build/double/ica
	@$(call put,$<,ica-double)
naive: build/naive/ica
	@$(call put,$<,ica-naive)

FLOAT_PROGRAMS = $(TESTS:%.c=build/float/%)
DOUBLE_PROGRAMS = $(DOUBLE_TESTS:%=build/double/tests/unit/%)
SANITIZE_PROGRAMS = $(patsubst %.c,build/sanitize/%,$(filter-out $(PROGRAM_TESTS),$(TESTS)))
$(PROGRAM_TESTS:%.c=build/float/%): | build/float/ica

quick-test: $(FLOAT_PROGRAMS)
	@sh tests/system/run.sh $(FLOAT_PROGRAMS)

# Scripts of targets of their own.
OWN = large soak coverage machines
# The longest first: several run at once.
LONG = builds same_bits end_to_end kills naive pools
FIRST = $(LONG:%=tests/system/%.sh)
SCRIPTS = $(FIRST) $(filter-out $(FIRST) %/run.sh %/check.sh $(OWN:%=tests/system/%.sh), \
	$(sort $(wildcard tests/system/*.sh)))
test: ica $(FLOAT_PROGRAMS) $(DOUBLE_PROGRAMS) $(SANITIZE_PROGRAMS) build/sanitize/ica \
		build/double/ica build/naive/ica build/naive-double/ica build/float/tests/system/keys \
		build/float/scarcity build/sanitize/scarcity $(KEPT)
	@CC="$(CC)" sh tests/system/run.sh $(SCRIPTS) \
		$(KEPT) $(SANITIZE_PROGRAMS) $(DOUBLE_PROGRAMS) $(FLOAT_PROGRAMS)

# More instants than the tests take.
kills: ica
	@KILLS="$${KILLS:-1000}" sh tests/system/kills.sh
	@KILLS="$${KILLS:-1000}" CUTS=1 sh tests/system/pools.sh

# Each call rather than a sample.
scarcity: ica build/float/scarcity build/sanitize/scarcity
	@ALL=1 sh tests/system/scarcity.sh

# Each option with each method rather than a fifth.
idle: ica
	@ALL=1 sh tests/system/idle.sh

# A pool of a million records, a run of a million steps.
large soak: ica build/float/tests/bench/scale_tool
	@sh tests/system/$@.sh

# Other compilers, levels, folders, and 32 bits.
machines:
	@sh tests/system/machines.sh
# Counters need gcc's gcov, or clang with GCOV="llvm-cov gcov".
coverage: $(TESTS:%.c=build/coverage/%) build/coverage/ica build/coverage/scarcity \
		build/float/scarcity $(COVERED)
	@sh tests/system/coverage.sh

audit-exact: build/double/tests/unit/test_audit
	@$<
audit: ica build/double/tests/audit/audit_main
	@sh tests/audit/audit.sh build/double/tests/audit/audit_main
# The rules of the house, the examples in headers, and the keys of files: parts of `make test`.
house:
	@sh tests/system/house.sh
examples: $(patsubst %.c,build/sanitize/%.o,$(filter-out program/main.c,$(SOURCES)))
	@CC="$(CC)" sh tests/system/examples.sh
formats: ica build/float/tests/system/keys
	@sh tests/system/formats.sh
commands: ica
	@sh tests/system/commands.sh
# Comments are left as they are: they are wrapped by hand.
format:
	clang-format -i --style=file:tests/system/clang-format $(SOURCES) \
		$(wildcard $(FOLDERS:%=%/*.h) tests/*/*.[ch])
trace:
	@sh tests/system/trace.sh
mutate:
	@CC="$(CC)" FLAGS="$(strip $(filter-out -O% $(WARN),$(FLAGS)))" sh tests/mutation/mutate.sh

# Fuzzing needs clang with libFuzzer. One folder of objects, without OpenMP: its threads would
# only make single inputs slower.
FUZZ_CC ?= clang
FUZZ_FLAGS = $(STD) -O1 -g -fno-omit-frame-pointer -ffp-contract=off $(WARN) -I. \
	-fsanitize=address,undefined -fno-sanitize-recover=all
FUZZ_TARGETS = $(notdir $(wildcard tests/fuzz/corpus/*))
FUZZ_OBJECTS = $(patsubst %.c,build/fuzz/%.o,$(filter-out program/main.c,$(SOURCES)) \
	tests/fuzz/targets.c)
build/fuzz/%.o: %.c Makefile
	@mkdir -p $(dir $@)
	$(Q) $(FUZZ_CC) $(FUZZ_FLAGS) -fsanitize=fuzzer-no-link -MMD -MP -c $< -o $@
build/fuzz/bin/%: tests/fuzz/entry.c $(FUZZ_OBJECTS)
	@mkdir -p $(dir $@)
	$(Q) $(FUZZ_CC) $(FUZZ_FLAGS) -fsanitize=fuzzer -DTARGET=fuzz_$* $^ -o $@ -lm
fuzz-targets: $(FUZZ_TARGETS:%=build/fuzz/bin/%)
FUZZ_MAIN = int LLVMFuzzerTestOneInput(const char *s, unsigned long n); \
	int LLVMFuzzerTestOneInput(const char *s, unsigned long n) { return !s && n; }
fuzz:
	@d=$$(mktemp -d) && echo '$(FUZZ_MAIN)' >$$d/t.c; \
	if $(FUZZ_CC) -fsanitize=fuzzer,address,undefined $$d/t.c -o $$d/t >/dev/null 2>&1; then \
		rm -r $$d && $(MAKE) fuzz-targets && \
		sh tests/fuzz/fuzz.sh $(FUZZ_TARGETS:%=build/fuzz/bin/%); \
	else rm -r $$d; \
		echo "fuzz: left out: $(FUZZ_CC) is not there, or has no libFuzzer" \
			"(FUZZ_CC=clang-17 names another)"; fi

study: ica
	@sh tests/bench/study.sh
stories: ica
	+@sh data/stories.sh make "$(MODEL)" "$${OUT:-out}/stories"
	+@sh data/stories.sh study "$${OUT:-out}/stories"
# In double too where somebody built that.
audit-torch: ica $(if $(wildcard ica-double),double)
	@sh tests/audit/audit_torch.sh
judge-transformers: ica
	@sh tests/audit/judge_transformers.sh
judge-tokenizers: build/float/tests/audit/encode_tool
	@sh tests/audit/judge_tokenizers.sh
judge-tensorboard: ica
	@sh tests/audit/judge_tensorboard.sh
judge-adapters: ica
	@sh tests/audit/judge_adapters.sh
judge-page: ica
	@sh tests/audit/page.sh
.PHONY: tutorial judge-cluster portability
portability:
	@sh tests/audit/portability.sh
judge-cluster: ica
	@sh tests/audit/judge_cluster.sh
tutorial: ica
	@sh tests/audit/tutorial.sh
judge-trl: ica
	@sh tests/audit/judge_trl.sh
judge-folders: ica
	@sh tests/audit/judge_folders.sh
traps: ica
	@ONLY=traps sh tests/bench/study.sh
bench: ica
	@./ica bench
profile: ica
	@d=$$(mktemp -d) && trap 'rm -r "$$d"' EXIT && perf record -q -e cpu-clock -o "$$d/data" \
		./ica bench --only step --config E --threads 1 >/dev/null && \
		perf report -q --stdio --percent-limit 1 -i "$$d/data" 2>/dev/null | grep %
# dlopen stands in libdl on older systems.
build/float/tests/bench/anchors: build/float/tests/bench/anchors.o \
		$(patsubst %.c,build/float/%.o,$(filter-out program/main.c,$(SOURCES)))
	$(Q) $(CC) $(FLAGS) $^ -o $@ -lm -ldl
bench-anchors: build/float/tests/bench/anchors
	@LLMC="$(LLMC)" sh tests/bench/anchors.sh
bench-backbones: ica
	@sh tests/bench/backbones.sh
bench-neighbor: ica
	@sh tests/bench/neighbor.sh
bench-turns: ica
	@OLD="$(OLD)" sh tests/bench/turns.sh
scale: ica build/float/tests/bench/scale_tool
	@sh tests/bench/scale.sh

PREFIX ?= /usr/local
BIN = $(DESTDIR)$(PREFIX)/bin/ica
SHARE = $(DESTDIR)$(PREFIX)/share
MAN = $(SHARE)/man/man1/ica.1
BASH = $(SHARE)/bash-completion/completions/ica
ZSH = $(SHARE)/zsh/site-functions/_ica
FISH = $(SHARE)/fish/vendor_completions.d/ica.fish
install: ica
	@for f in "$(BIN)" "$(MAN)" "$(BASH)" "$(ZSH)" "$(FISH)"; do \
		mkdir -p "$$(dirname "$$f")" || exit; done
	@cp ica "$(BIN).part" && chmod 755 "$(BIN).part" && mv "$(BIN).part" "$(BIN)"
	@./ica --manual >"$(MAN)" && ./ica --completion bash >"$(BASH)" && \
		./ica --completion zsh >"$(ZSH)" && ./ica --completion fish >"$(FISH)"
	@echo "installed $(BIN), its manual page and completions"
uninstall:
	rm -f "$(BIN)" "$(MAN)" "$(BASH)" "$(ZSH)" "$(FISH)"

clean:
	rm -rf ica ica-double ica-naive build

.PHONY: all help double naive test quick-test install uninstall clean trace house examples \
	formats commands format kills scarcity idle large soak coverage machines fuzz fuzz-targets audit \
	audit-exact audit-torch judge-transformers judge-trl judge-folders judge-tokenizers judge-page \
	judge-tensorboard mutate study stories traps bench profile bench-anchors bench-backbones \
	bench-neighbor bench-turns scale
.SECONDARY:
