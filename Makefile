# vswitchd and vsctl. See README.md; the layout is in docs/architecture.md.
#
#   make              build/vswitchd and build/vsctl
#   make demo         two virtual machines talk through flow rules
#   make test         lint, unit, system and virtual machine tests
#   make bench        rates beside OVS-DPDK; bench-quick takes less than 3 minutes
#   make install      PREFIX (default /usr/local) and DESTDIR are honoured
#   SANITIZE=address,undefined    build with sanitizers
#   PROFILE=1         build/profile/vswitchd, which counts the cycles of each stage (vsctl profile)
#   CC=clang          build with clang

CC ?= gcc
BUILD ?= build
PREFIX ?= /usr/local
DESTDIR ?=
SANITIZE ?=
PROFILE ?=
V ?= 0
VERSION := 0.1.0

ifeq ($(origin CC),default)
CC := gcc
endif
Q := $(if $(filter 0,$(V)),@)
say = $(if $(filter 0,$(V)),@printf '  %-8s %s\n' $(1) $(2))

# Objects that count cycles live apart; a second make that inherits BUILD does not go down once more.
ifneq ($(PROFILE),)
ifeq ($(filter %/profile %/profile/sanitize,$(BUILD)),)
override BUILD := $(BUILD)/profile
endif
CPPFLAGS += -DPROFILE
endif

# So do sanitized ones.
ifneq ($(SANITIZE),)
ifeq ($(filter %/sanitize,$(BUILD)),)
override BUILD := $(BUILD)/sanitize
endif
endif

# The straight line of folders: each may include those before it (tests/lint/layers.awk).
FOLDERS := common flowtable flowtable/classifier vport l2 tunnels qos datapath ofproto ctl

DAEMON_PACKAGES := libdpdk libevent libevent_pthreads jansson sqlite3 libnl-route-3.0 libpcap
CLIENT_PACKAGES := jansson

# DPDK's headers ask for the machine they were built for: our own level comes last and wins.
DPDK_CFLAGS := $(shell pkg-config --cflags libdpdk 2>/dev/null | sed 's/-march=[^ ]*//')
PACKAGE_CFLAGS := $(DPDK_CFLAGS) $(shell pkg-config --cflags $(filter-out libdpdk,$(DAEMON_PACKAGES)) 2>/dev/null)
DAEMON_LIBS = $(shell pkg-config --libs $(DAEMON_PACKAGES)) -lpthread -lm
CLIENT_LIBS = $(shell pkg-config --libs $(CLIENT_PACKAGES))

OPTIMISE ?= -O2
ARCH_BASE := x86-64-v2
WARNINGS := -Wall -Wextra -Werror -Wshadow -Wvla -Wformat=2 -Wstrict-prototypes \
	-Wmissing-prototypes -Wpointer-arith -Wno-format-nonliteral
HARDEN := -fPIE -fstack-protector-strong -fstack-clash-protection -fcf-protection=full \
	-fno-strict-overflow -fno-delete-null-pointer-checks -fno-common
ifeq ($(SANITIZE),)
HARDEN += -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2
else
SANITIZE_FLAGS := -fsanitize=$(SANITIZE) -fno-omit-frame-pointer -fno-sanitize=alignment \
	-fno-sanitize-recover=undefined
endif
CPPFLAGS += -I. -I$(BUILD) -D_GNU_SOURCE -DALLOW_EXPERIMENTAL_API -DVERSION='"$(VERSION)"'
# DPDK's headers are system headers to us: their warnings are not ours.
PACKAGE_CFLAGS := $(patsubst -I%,-isystem %,$(PACKAGE_CFLAGS))
CFLAGS_ALL = -std=gnu17 -g $(OPTIMISE) $(WARNINGS) $(HARDEN) $(SANITIZE_FLAGS) $(CPPFLAGS) \
	$(PACKAGE_CFLAGS) $(CFLAGS)
LDFLAGS_ALL = -pie -Wl,-z,relro,-z,now,-z,noexecstack $(SANITIZE_FLAGS) $(LDFLAGS)

# Hot files: what workers run per packet. They are built once per x86-64 level, each set is linked
# into one object whose only visible symbol is its table of functions (datapath/hot.h), and the
# best set for the machine is chosen at start.
HOT_LEVELS := x86-64-v2 x86-64-v3 x86-64-v4
HOT_SOURCES := $(wildcard flowtable/classifier/*_lookup.c) flowtable/table_lookup.c \
	flowtable/table_clauses_lookup.c \
	l2/mac_table_lookup.c datapath/parse.c datapath/write_back.c \
	datapath/pipeline.c datapath/actions.c $(wildcard datapath/actions_*.c) datapath/learn_run.c \
	datapath/output.c datapath/normal.c datapath/forward.c datapath/hot.c
HOT_SOURCES += datapath/guard_run.c datapath/group_run.c datapath/nsh.c datapath/cache_lookup.c datapath/cache_compose.c datapath/cache_run.c datapath/output_qos.c datapath/mirror_run.c
HOT_SOURCES := $(wildcard $(HOT_SOURCES))

SOURCES := $(filter-out $(HOT_SOURCES),$(foreach f,$(FOLDERS),$(wildcard $(f)/*.c)))
CLIENT_MAIN := ctl/vsctl.c
DAEMON_MAIN := ctl/vswitchd.c
# vsctl links no DPDK: it is made of these files alone.
CLIENT_SOURCES := $(CLIENT_MAIN) $(wildcard ctl/client_*.c) ctl/command.c $(wildcard ctl/schema*.c) ctl/help.c \
	ctl/render.c ctl/render_trace.c ctl/render_guest.c ctl/render_qos.c common/error.c common/text.c
CLIENT_SOURCES := $(wildcard $(CLIENT_SOURCES))
LIBRARY_SOURCES := $(filter-out $(CLIENT_MAIN) $(DAEMON_MAIN) $(wildcard ctl/client_*.c) \
	ctl/render.c,$(SOURCES))

object = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))
hot_object = $(patsubst %.c,$(BUILD)/hot/$(2)/%.o,$(1))
LIBRARY := $(BUILD)/libvswitch.a
HOT_OBJECTS := $(if $(HOT_SOURCES),$(foreach l,$(HOT_LEVELS),$(BUILD)/hot/$(l).o))

.PHONY: all clean install uninstall test demo lint bench bench-quick unit system vm

all: $(BUILD)/vswitchd $(BUILD)/vsctl $(BUILD)/vsctl.8 $(BUILD)/vsctl.bash

$(BUILD)/obj/%.o: %.c
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS_ALL) -march=$(ARCH_BASE) -MMD -MP -c -o $@ $<

define hot_rules
$(BUILD)/hot/$(1)/%.o: %.c
	$$(call say,CC,"$$< ($(1))")
	@mkdir -p $$(@D)
	$$(Q)$$(CC) $$(CFLAGS_ALL) -O3 -march=$(1) -DHOT_LEVEL=$(subst -,_,$(1)) -MMD -MP -c -o $$@ $$<

$(BUILD)/hot/$(1).o: $(call hot_object,$(HOT_SOURCES),$(1))
	$$(call say,HOT,$(1))
	$$(Q)ld -r -o $$@.all $$^
	$$(Q)objcopy --keep-global-symbol=hot_$(subst -,_,$(1)) $$@.all $$@
	@rm -f $$@.all
endef
$(foreach l,$(HOT_LEVELS),$(eval $(call hot_rules,$(l))))

$(LIBRARY): $(call object,$(LIBRARY_SOURCES)) $(HOT_OBJECTS)
	$(call say,AR,$@)
	@rm -f $@
	$(Q)ar rcs $@ $^

$(BUILD)/vswitchd: $(call object,$(DAEMON_MAIN)) $(LIBRARY)
	$(call say,LINK,$@)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(DAEMON_LIBS)

$(BUILD)/vsctl: $(call object,$(CLIENT_SOURCES))
	$(call say,LINK,$@)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(CLIENT_LIBS)

$(BUILD)/vsctl.8: $(BUILD)/vsctl
	$(call say,MAN,$@)
	$(Q)$< --man >$@.tmp && mv $@.tmp $@

$(BUILD)/vsctl.bash: $(BUILD)/vsctl
	$(call say,GEN,$@)
	$(Q)$< --bash-completion >$@.tmp && mv $@.tmp $@

# Unit tests: each tests/unit/test_*.c is a program of its own, linked with everything but the mains.
UNIT_SOURCES := $(wildcard tests/unit/test_*.c)
UNIT_SHARED := $(filter-out $(UNIT_SOURCES),$(wildcard tests/unit/*.c))
UNIT_PROGRAMS := $(patsubst %.c,$(BUILD)/%,$(UNIT_SOURCES))

$(BUILD)/tests/unit/test_%: $(BUILD)/obj/tests/unit/test_%.o $(call object,$(UNIT_SHARED)) $(LIBRARY)
	$(call say,LINK,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS_ALL) $(TEST_LDFLAGS) -o $@ $^ $(DAEMON_LIBS) -lcmocka

# This one decides which allocations fail.
$(BUILD)/tests/unit/test_no_memory: TEST_LDFLAGS := \
	-Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=aligned_alloc

unit-programs: $(UNIT_PROGRAMS)
.PHONY: unit-programs
.SECONDARY: $(call object,$(UNIT_SOURCES) $(UNIT_SHARED))


unit: unit-programs
	@tests/run.sh unit
system: all unit-programs
	@tests/run.sh system
vm: all
	@tests/run.sh vm
lint:
	@tests/run.sh lint

# The README's two commands. What is missing is installed first (with nothing missing that takes no
# time), then a second make sees it.
demo:
	@scripts/install-deps.sh build demo
	@$(MAKE) --no-print-directory -j$$(nproc) all
	@demo/demo.sh

test:
	@scripts/install-deps.sh build demo test
	@$(MAKE) --no-print-directory -j$$(nproc) all unit-programs
	@tests/run.sh lint unit system vm

# Beside OVS-DPDK and testpmd; writes docs/BENCHMARKS.md, docs/benchmarks and build/bench*.json. The
# quick one has fewer workloads and rounds, no curves, and writes only build/bench.json. NATIVE=PROGRAM
# measures an ovs-vswitchd built for this processor, too.
bench bench-quick:
	@scripts/install-deps.sh build bench $(if $(filter bench,$@),demo)
	@$(MAKE) --no-print-directory -j$$(nproc) all
	@bench/run.sh $(if $(filter bench-quick,$@),--quick,--write) $(if $(NATIVE),--native $(NATIVE))
ifneq ($(filter bench,$(MAKECMDGOALS)),)
	@bench/run.sh --write curves
	@bench/run.sh --write guests
	@$(MAKE) --no-print-directory -j$$(nproc) PROFILE=1 all
	@bench/run.sh --write stages
endif

install: all
	install -D -m 755 $(BUILD)/vswitchd $(DESTDIR)$(PREFIX)/sbin/vswitchd
	install -D -m 755 $(BUILD)/vsctl $(DESTDIR)$(PREFIX)/bin/vsctl
	install -D -m 644 $(BUILD)/vsctl.8 $(DESTDIR)$(PREFIX)/share/man/man8/vsctl.8
	install -D -m 644 docs/vswitchd.8 $(DESTDIR)$(PREFIX)/share/man/man8/vswitchd.8
	install -D -m 644 $(BUILD)/vsctl.bash \
		$(DESTDIR)$(PREFIX)/share/bash-completion/completions/vsctl

uninstall:
	rm -f $(DESTDIR)$(PREFIX)/sbin/vswitchd $(DESTDIR)$(PREFIX)/bin/vsctl \
		$(DESTDIR)$(PREFIX)/share/man/man8/vsctl.8 \
		$(DESTDIR)$(PREFIX)/share/man/man8/vswitchd.8 \
		$(DESTDIR)$(PREFIX)/share/bash-completion/completions/vsctl

clean:
	rm -rf $(BUILD)/obj $(BUILD)/hot $(BUILD)/tests $(LIBRARY) $(BUILD)/vswitchd \
		$(BUILD)/vsctl $(BUILD)/vsctl.8 $(BUILD)/vsctl.bash $(BUILD)/sanitize $(BUILD)/profile

export BUILD

-include $(shell find $(BUILD)/obj $(BUILD)/hot -name '*.d' 2>/dev/null)
