#include "tests/bench/machine.h"

#include <omp.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <fstream>
#include <iterator>
#include <limits>
#include <string>

#include "model/base/aligned_buffer.h"
#include "model/base/cpu.h"
#include "tests/bench/measure.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace heed::bench {
namespace {

// Where results go, so that the compiler cannot leave out the work behind them.
std::atomic<uint64_t> result_sink{0};

uint64_t SumWords(const uint64_t* words, int64_t count) {
  std::array<uint64_t, 16> sums{};
  for (int64_t i = 0; i + 16 <= count; i += 16) {
    for (int j = 0; j < 16; ++j) sums[j] += words[i + j];
  }
  uint64_t sum = 0;
  for (uint64_t s : sums) sum += s;
  return sum;
}

// Each accumulator starts elsewhere: equal ones would be folded into one by the compiler.
float StartValue(int i) {
  return 0.5f + 0.01f * static_cast<float>(i);
}

constexpr float kFactor = 0.999f;  // with kTerm the values go towards 1
constexpr float kTerm = 0.001f;

// A loop of `rounds` rounds, and the operations that one round does.
struct Kernel {
  float (*run)(int64_t rounds);
  double operations_per_round;
};

constexpr int kPortableLanes = 64;

float RunPortable(int64_t rounds) {
  std::array<float, kPortableLanes> values;
  for (int i = 0; i < kPortableLanes; ++i) values[i] = StartValue(i);
  for (int64_t r = 0; r < rounds; ++r) {
    for (float& value : values) value = value * kFactor + kTerm;
  }
  float sum = 0;
  for (float value : values) sum += value;
  return sum;
}

#if defined(__x86_64__)

constexpr int kAvx2Registers = 12;

__attribute__((target("avx2,fma"))) float RunAvx2(int64_t rounds) {
  const __m256 factor = _mm256_set1_ps(kFactor);
  const __m256 term = _mm256_set1_ps(kTerm);
  __m256 values[kAvx2Registers];
#pragma GCC unroll 12
  for (int i = 0; i < kAvx2Registers; ++i) values[i] = _mm256_set1_ps(StartValue(i));
  for (int64_t r = 0; r < rounds; ++r) {
#pragma GCC unroll 12
    for (int i = 0; i < kAvx2Registers; ++i) values[i] = _mm256_fmadd_ps(values[i], factor, term);
  }
  __m256 sum = values[0];
  for (int i = 1; i < kAvx2Registers; ++i) sum = _mm256_add_ps(sum, values[i]);
  return _mm256_cvtss_f32(sum);
}

constexpr int kAvx512Registers = 24;

__attribute__((target("avx512f"))) float RunAvx512(int64_t rounds) {
  const __m512 factor = _mm512_set1_ps(kFactor);
  const __m512 term = _mm512_set1_ps(kTerm);
  __m512 values[kAvx512Registers];
#pragma GCC unroll 24
  for (int i = 0; i < kAvx512Registers; ++i) values[i] = _mm512_set1_ps(StartValue(i));
  for (int64_t r = 0; r < rounds; ++r) {
#pragma GCC unroll 24
    for (int i = 0; i < kAvx512Registers; ++i) values[i] = _mm512_fmadd_ps(values[i], factor, term);
  }
  __m512 sum = values[0];
  for (int i = 1; i < kAvx512Registers; ++i) sum = _mm512_add_ps(sum, values[i]);
  return _mm512_cvtss_f32(sum);
}

constexpr int kDotSums = 12;

// Dot products of bytes, added to twelve sums in turn, in assembly as a whole: GCC 12 would copy
// each sum at each step, or keep them in memory.
#define HEED_ADD_VNNI(prefix, name, sum) \
  prefix "vpdpbusd %%" name "15, %%" name "15, %%" name sum "\n\t"
#define HEED_ADD_AVX2(prefix, name, sum)     \
  "vpmaddubsw %%ymm15, %%ymm15, %%ymm12\n\t" \
  "vpmaddwd %%ymm14, %%ymm12, %%ymm12\n\t"   \
  "vpaddd %%ymm12, %%ymm" sum ", %%ymm" sum "\n\t"
#define HEED_RUN_DOTS(ADD, prefix, name, rounds)                                               \
  asm volatile("1:\n\t" ADD(prefix, name, "0") ADD(prefix, name, "1") ADD(prefix, name, "2")   \
                   ADD(prefix, name, "3") ADD(prefix, name, "4") ADD(prefix, name, "5")        \
                       ADD(prefix, name, "6") ADD(prefix, name, "7") ADD(prefix, name, "8")    \
                           ADD(prefix, name, "9") ADD(prefix, name, "10")                      \
                               ADD(prefix, name, "11") "dec %0\n\tjnz 1b\n\tvzeroupper"        \
               : "+r"(rounds)                                                                  \
               :                                                                               \
               : "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", \
                 "xmm9", "xmm10", "xmm11", "xmm12")

float RunInt8Vnni(int64_t rounds) {
  HEED_RUN_DOTS(HEED_ADD_VNNI, "", "zmm", rounds);
  return 0;
}

float RunInt8AvxVnni(int64_t rounds) {
  HEED_RUN_DOTS(HEED_ADD_VNNI, "%{vex%} ", "ymm", rounds);
  return 0;
}

float RunInt8Avx2(int64_t rounds) {
  HEED_RUN_DOTS(HEED_ADD_AVX2, , , rounds);
  return 0;
}

#undef HEED_RUN_DOTS
#undef HEED_ADD_AVX2
#undef HEED_ADD_VNNI

constexpr int kTileSums = 4;
constexpr double kTileProducts = 16 * 16 * 32;

__attribute__((target("amx-tile,amx-bf16"))) float RunBf16Amx(int64_t rounds) {
  struct alignas(64) Config {
    uint8_t palette = 1;
    uint8_t unused[15] = {};
    uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64};
    uint8_t rows[16] = {16, 16, 16, 16, 16, 16};
  } const config;
  alignas(64) float sums[256] = {};
  alignas(64) uint16_t ones[512];
  std::fill(std::begin(ones), std::end(ones), uint16_t{0x3f80});
  asm volatile("ldtilecfg %0" ::"m"(config));  // GCC 12's intrinsic names 8 bytes of it only
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  _tile_loadd(4, ones, 64);
  _tile_loadd(5, ones, 64);
  for (int64_t r = 0; r < rounds; ++r) {
    _tile_dpbf16ps(0, 4, 5);
    _tile_dpbf16ps(1, 4, 5);
    _tile_dpbf16ps(2, 4, 5);
    _tile_dpbf16ps(3, 4, 5);
  }
  _tile_stored(0, sums, 64);
  _tile_release();
  return sums[0];
}

#endif

Kernel BestQuantizedKernel() {
#if defined(__x86_64__)
  const CpuFacts cpu = DetectCpu();
  if (cpu.amx) return {RunBf16Amx, 2.0 * kTileSums * kTileProducts};
  if (cpu.avx512_vnni) return {RunInt8Vnni, 2.0 * 64 * kDotSums};
  if (cpu.avx_vnni) return {RunInt8AvxVnni, 2.0 * 32 * kDotSums};
  if (cpu.isa != Isa::kPortable) return {RunInt8Avx2, 2.0 * 32 * kDotSums};
#endif
  return {RunPortable, 2.0 * kPortableLanes};
}

Kernel BestKernel() {
#if defined(__x86_64__)
  const Isa isa = DetectCpu().isa;
  if (isa == Isa::kAvx512) return {RunAvx512, 2.0 * 16 * kAvx512Registers};
  if (isa == Isa::kAvx2) return {RunAvx2, 2.0 * 8 * kAvx2Registers};
#endif
  return {RunPortable, 2.0 * kPortableLanes};
}

// Seconds that all threads take for `rounds` rounds each.
double TimeRounds(const Kernel& kernel, int64_t rounds) {
  double slowest = 0;
#pragma omp parallel reduction(max : slowest)
  {
#pragma omp barrier
    const double begin = SecondsNow();
    const float result = kernel.run(rounds);
    slowest = SecondsNow() - begin;
    result_sink.fetch_add(static_cast<uint64_t>(result), std::memory_order_relaxed);
  }
  return slowest;
}

// Reads `buffer` once with all threads, each its own part.
void ReadOnce(const AlignedBuffer& buffer, int64_t words) {
  const auto* const data = reinterpret_cast<const uint64_t*>(buffer.data());
#pragma omp parallel
  {
    const int64_t threads = omp_get_num_threads();
    const int64_t thread = omp_get_thread_num();
    const int64_t begin = words * thread / threads;
    const int64_t end = words * (thread + 1) / threads;
    result_sink.fetch_add(SumWords(data + begin, end - begin), std::memory_order_relaxed);
  }
}

// A number of kilobytes from a file of "Name:   123 kB" lines.
int64_t KilobytesField(const std::string& file, const std::string& name) {
  std::ifstream in(file);
  std::string word;
  int64_t kilobytes = 0;
  while (in >> word) {
    if (word == name && in >> kilobytes) return kilobytes;
    in.ignore(std::numeric_limits<std::streamsize>::max(), '\n');
  }
  return 0;
}

}  // namespace

std::vector<double> MeasureReadBandwidth(int64_t bytes, double seconds, int repetitions) {
  const int64_t words = std::max<int64_t>(bytes / 8, 64 * omp_get_max_threads());
  AlignedBuffer buffer(words * 2);
  // Touched by the threads that will read it, so that each part lies near its reader.
#pragma omp parallel for schedule(static)
  for (int64_t i = 0; i < buffer.size(); ++i) buffer.data()[i] = static_cast<float>(i);

  std::vector<double> bandwidths;
  for (int repetition = 0; repetition < repetitions; ++repetition) {
    ReadOnce(buffer, words);
    int64_t passes = 0;
    const double begin = SecondsNow();
    double elapsed = 0;
    do {
      ReadOnce(buffer, words);
      ++passes;
      elapsed = SecondsNow() - begin;
    } while (elapsed < seconds);
    bandwidths.push_back(static_cast<double>(passes * words * 8) / elapsed);
  }
  return bandwidths;
}

std::vector<double> MeasureMultiplyAdds(Arithmetic arithmetic, double seconds, int repetitions) {
  const Kernel kernel = arithmetic == Arithmetic::kQuantized ? BestQuantizedKernel() : BestKernel();
  int64_t rounds = 100'000;
  const double trial = TimeRounds(kernel, rounds);
  rounds = static_cast<int64_t>(static_cast<double>(rounds) * seconds / std::max(trial, 1e-6)) + 1;
  std::vector<double> rates;
  for (int repetition = 0; repetition < repetitions; ++repetition) {
    const double elapsed = TimeRounds(kernel, rounds);
    rates.push_back(kernel.operations_per_round * static_cast<double>(rounds) *
                    omp_get_max_threads() / elapsed);
  }
  return rates;
}

absl::string_view ArithmeticName(Arithmetic arithmetic) {
  if (arithmetic == Arithmetic::kF32) return "f32";
  return DetectCpu().amx ? "bf16" : "int8";
}

int64_t ResidentBytes() {
  return KilobytesField("/proc/self/status", "VmRSS:") * 1024;
}

int64_t PeakResidentBytes() {
  return KilobytesField("/proc/self/status", "VmHWM:") * 1024;
}

int64_t AvailableBytes() {
  return KilobytesField("/proc/meminfo", "MemAvailable:") * 1024;
}

}  // namespace heed::bench
