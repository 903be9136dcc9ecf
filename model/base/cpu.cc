#include "model/base/cpu.h"

#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <fstream>
#include <iterator>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "model/base/status_macros.h"

namespace heed {
namespace {

// The file's contents, or nothing when it cannot be read. These are small files of the kernel's
// own.
std::optional<std::string> ReadSmallFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return std::nullopt;
  return std::string(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
}

std::optional<double> Smaller(std::optional<double> a, std::optional<double> b) {
  if (!a) return b;
  if (!b) return a;
  return std::min(*a, *b);
}

std::optional<double> QuotaV2(const std::string& folder) {
  const auto cpu_max = ReadSmallFile(folder + "/cpu.max");
  return cpu_max ? ParseCpuMax(*cpu_max) : std::nullopt;
}

std::optional<double> QuotaV1(const std::string& folder) {
  const auto quota = ReadSmallFile(folder + "/cpu.cfs_quota_us");
  const auto period = ReadSmallFile(folder + "/cpu.cfs_period_us");
  return quota && period ? ParseCfsQuota(*quota, *period) : std::nullopt;
}

// The smallest quota from the group at `path` up to the mount point. Without a cgroup namespace a
// container sees the host's path here and only its own group under the mount point, so folders that
// do not exist are passed over.
template <typename ReadQuota>
std::optional<double> SmallestUpwards(const std::string& mount, absl::string_view path,
                                      ReadQuota read_quota) {
  std::optional<double> smallest = read_quota(mount);
  if (absl::StrContains(path, "..")) return smallest;  // a group outside this namespace
  std::string folder = mount;
  for (absl::string_view part : absl::StrSplit(path, '/', absl::SkipEmpty())) {
    absl::StrAppend(&folder, "/", part);
    smallest = Smaller(smallest, read_quota(folder));
  }
  return smallest;
}

// One line of /proc/self/cgroup: "hierarchy:controllers:path"; version 2 has hierarchy 0 and no
// controllers.
std::optional<double> QuotaOfLine(const std::string& mounts, absl::string_view line) {
  const std::vector<absl::string_view> parts = absl::StrSplit(line, absl::MaxSplits(':', 2));
  if (parts.size() != 3) return std::nullopt;
  if (parts[0] == "0" && parts[1].empty()) {
    return Smaller(SmallestUpwards(mounts, parts[2], QuotaV2),
                   SmallestUpwards(mounts + "/unified", parts[2], QuotaV2));
  }
  const std::vector<absl::string_view> controllers = absl::StrSplit(parts[1], ',');
  if (std::find(controllers.begin(), controllers.end(), "cpu") == controllers.end()) {
    return std::nullopt;
  }
  return Smaller(SmallestUpwards(mounts + "/cpu", parts[2], QuotaV1),
                 SmallestUpwards(absl::StrCat(mounts, "/", parts[1]), parts[2], QuotaV1));
}

int OnlineCpus() {
  return static_cast<int>(std::max(1L, sysconf(_SC_NPROCESSORS_ONLN)));
}

// The kernel refuses masks smaller than its own, which may have more bits than cpu_set_t.
int AffinityCpus(int fallback) {
  for (size_t bits = 1024; bits <= (size_t{1} << 20); bits *= 2) {
    std::vector<cpu_set_t> set(bits / (8 * sizeof(cpu_set_t)) + 1);
    const size_t bytes = set.size() * sizeof(cpu_set_t);
    if (sched_getaffinity(0, bytes, set.data()) == 0) {
      return std::max(1, CPU_COUNT_S(bytes, set.data()));
    }
  }
  return fallback;
}

#if defined(__x86_64__)
Isa DetectIsa() {
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                    __builtin_cpu_supports("f16c");
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
                      __builtin_cpu_supports("avx512cd");
  if (avx2 && avx512) return Isa::kAvx512;
  return avx2 ? Isa::kAvx2 : Isa::kPortable;
}

bool DetectAvxVnni() {
  constexpr unsigned kAvxVnni = 1u << 4;  // CPUID leaf 7.1, EAX
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0 && (a & kAvxVnni) != 0;
}

bool DetectVnni() {
  return __builtin_cpu_supports("avx512vnni") != 0;
}

// Tiles, and what their kernels need besides. Linux lets a process use the tiles' registers only
// after it has asked.
bool DetectAmx() {
  if (!__builtin_cpu_supports("avx512vbmi")) return false;
  constexpr unsigned kBf16Tiles = 1u << 22, kFp16 = 1u << 23,
                     kTile = 1u << 24;                     // CPUID leaf 7, EDX
  constexpr unsigned kBf16 = 1u << 5;                      // leaf 7.1, EAX
  constexpr int kRequestFeature = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0) return false;
  if ((d & kBf16Tiles) == 0 || (d & kFp16) == 0 || (d & kTile) == 0) return false;
  if (__get_cpuid_count(7, 1, &a, &b, &c, &d) == 0 || (a & kBf16) == 0) return false;
  return syscall(SYS_arch_prctl, kRequestFeature, kTileData) == 0;
}
#else
Isa DetectIsa() {
  return Isa::kPortable;
}

bool DetectAvxVnni() {
  return false;
}

bool DetectVnni() {
  return false;
}

bool DetectAmx() {
  return false;
}
#endif

std::optional<double> Quotient(absl::string_view quota_text, absl::string_view period_text) {
  int64_t quota = 0;
  int64_t period = 0;
  if (!absl::SimpleAtoi(quota_text, &quota) || !absl::SimpleAtoi(period_text, &period)) {
    return std::nullopt;
  }
  if (quota <= 0 || period <= 0) return std::nullopt;
  return static_cast<double>(quota) / static_cast<double>(period);
}

// Best first.
constexpr struct {
  absl::string_view name;
  Isa isa;
  bool avx_vnni;
  bool amx;
} kInstructions[] = {{"amx", Isa::kAvx512, true, true},
                     {"avx512", Isa::kAvx512, true, false},
                     {"avxvnni", Isa::kAvx2, true, false},
                     {"avx2", Isa::kAvx2, false, false},
                     {"portable", Isa::kPortable, false, false}};

// What the process is held to: an index into kInstructions.
std::atomic<size_t> held_to = 0;

absl::StatusOr<size_t> FindInstructions(absl::string_view name) {
  if (name == "auto") return 0;
  for (size_t i = 0; i < std::size(kInstructions); ++i) {
    if (kInstructions[i].name == name) return i;
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "there are no kernels named '", name, "'; say auto, amx, avx512, avxvnni, avx2 or portable"));
}

void Limit(size_t most, CpuFacts* facts) {
  facts->isa = std::min(facts->isa, kInstructions[most].isa);
  facts->avx_vnni = facts->avx_vnni && kInstructions[most].avx_vnni && facts->isa != Isa::kPortable;
  facts->avx512_vnni = facts->avx512_vnni && facts->isa == Isa::kAvx512;
  facts->amx = facts->amx && kInstructions[most].amx;
}

}  // namespace

absl::string_view IsaName(Isa isa) {
  switch (isa) {
    case Isa::kPortable:
      return "portable";
    case Isa::kAvx2:
      return "AVX2";
    case Isa::kAvx512:
      return "AVX-512";
  }
  return "portable";
}

std::optional<double> ParseCpuMax(absl::string_view cpu_max) {
  const std::vector<absl::string_view> parts =
      absl::StrSplit(absl::StripAsciiWhitespace(cpu_max), ' ', absl::SkipEmpty());
  return parts.size() == 2 ? Quotient(parts[0], parts[1]) : std::nullopt;
}

std::optional<double> ParseCfsQuota(absl::string_view quota_us, absl::string_view period_us) {
  return Quotient(absl::StripAsciiWhitespace(quota_us), absl::StripAsciiWhitespace(period_us));
}

std::optional<double> DetectQuota(const std::string& root) {
  const auto groups = ReadSmallFile(root + "/proc/self/cgroup");
  if (!groups) return std::nullopt;
  std::optional<double> smallest;
  for (absl::string_view line : absl::StrSplit(*groups, '\n', absl::SkipEmpty())) {
    smallest = Smaller(smallest, QuotaOfLine(root + "/sys/fs/cgroup", line));
  }
  return smallest;
}

int DecideThreads(int affinity_cpus, std::optional<double> quota_cpus) {
  double threads = affinity_cpus;
  if (quota_cpus) threads = std::min(threads, std::ceil(*quota_cpus));
  return std::max(1, static_cast<int>(threads));
}

absl::StatusOr<CpuFacts> HoldTo(absl::string_view isa, CpuFacts machine) {
  HEED_ASSIGN_OR_RETURN(const size_t most, FindInstructions(isa));
  const std::string has = machine.Instructions();
  Limit(most, &machine);
  const auto& named = kInstructions[most];
  const bool lacks_vnni = isa == "avxvnni" && !machine.avx_vnni;
  if (isa != "auto" && (machine.isa != named.isa || machine.amx != named.amx || lacks_vnni)) {
    const absl::string_view lacks = named.amx    ? "AMX"
                                    : lacks_vnni ? "AVX-VNNI"
                                                 : IsaName(named.isa);
    return absl::FailedPreconditionError(absl::StrCat("this machine has no ", lacks, ", only ", has,
                                                      "; auto takes the best it has"));
  }
  return machine;
}

absl::Status HoldProcessTo(absl::string_view isa) {
  HEED_RETURN_IF_ERROR(HoldTo(isa, DetectCpu()).status());
  HEED_ASSIGN_OR_RETURN(held_to, FindInstructions(isa));
  return absl::OkStatus();
}

CpuFacts DetectCpu() {
  CpuFacts facts;
  facts.online_cpus = OnlineCpus();
  facts.affinity_cpus = AffinityCpus(facts.online_cpus);
  facts.quota_cpus = DetectQuota("");
  facts.threads = DecideThreads(facts.affinity_cpus, facts.quota_cpus);
  facts.isa = DetectIsa();
  facts.avx_vnni = facts.isa != Isa::kPortable && DetectAvxVnni();
  facts.avx512_vnni = facts.isa == Isa::kAvx512 && DetectVnni();
  facts.amx = facts.avx512_vnni && kInstructions[held_to].amx && DetectAmx();
  Limit(held_to, &facts);
  return facts;
}

std::string CpuFacts::Instructions() const {
  const bool vnni = isa == Isa::kAvx512 ? avx512_vnni : avx_vnni;
  return absl::StrCat(IsaName(isa), vnni ? " VNNI" : "", amx ? " AMX" : "");
}

std::string CpuFacts::Limits() const {
  return absl::StrFormat("affinity %d of %d CPU%s, %s", affinity_cpus, online_cpus,
                         online_cpus == 1 ? "" : "s",
                         quota_cpus ? absl::StrFormat("quota %.3g", *quota_cpus) : "no quota");
}

std::string CpuFacts::ToString() const {
  return absl::StrFormat("%d thread%s (%s), %s", threads, threads == 1 ? "" : "s", Limits(),
                         Instructions());
}

}  // namespace heed
