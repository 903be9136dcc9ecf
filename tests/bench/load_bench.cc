#include "tests/bench/load_bench.h"

#include <sys/resource.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "model/base/status_macros.h"
#include "model/kernels/backend.h"
#include "tests/bench/machine.h"

namespace heed::bench {
namespace {

namespace fs = std::filesystem;

double CpuSecondsNow() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

// A path that is removed with whatever is there.
class TemporaryPath {
 public:
  TemporaryPath()
      : path_((fs::temp_directory_path() / absl::StrCat("heed-bench-", getpid())).string()) {}
  ~TemporaryPath() {
    std::error_code ignored;
    fs::remove(path_, ignored);
  }
  const std::string& path() const { return path_; }

 private:
  const std::string path_;
};

// The seconds of several loads.
struct LoadTimes {
  std::vector<double> hashing, packing, reading, reading_cpu;
};

absl::StatusOr<std::unique_ptr<const LanguageModel>> LoadOnce(const Checkpoint& checkpoint,
                                                              const Backend* backend,
                                                              LanguageModelOptions options,
                                                              const std::string& packed_copy) {
  options.packed_copy = packed_copy;
  return LoadLanguageModel(checkpoint, backend, options);
}

}  // namespace

absl::StatusOr<LoadedModel> BenchLoad(const std::string& path, const LanguageModelOptions& options,
                                      const Backend* backend, int repetitions) {
  LoadedModel loaded;
  LoadTimes times;
  const TemporaryPath copy;
  const int64_t before = ResidentBytes();
  int64_t peak = 0, after = 0, hashed = 0;
  for (int i = 0; i < repetitions; ++i) {
    loaded.model.reset();
    const double start = SecondsNow();
    HEED_ASSIGN_OR_RETURN(
        loaded.checkpoint,
        OpenCheckpoint(path, {.progress = [&](int64_t, int64_t total) { hashed = total; }}));
    const double opened = SecondsNow();
    HEED_ASSIGN_OR_RETURN(loaded.model, LoadOnce(*loaded.checkpoint, backend, options, ""));
    times.hashing.push_back(opened - start);
    times.packing.push_back(SecondsNow() - opened);
    if (i == 0) {
      peak = PeakResidentBytes() - before;
      after = ResidentBytes() - before;
    }
  }
  loaded.model.reset();
  HEED_ASSIGN_OR_RETURN(loaded.model, LoadOnce(*loaded.checkpoint, backend, options, copy.path()));
  for (int i = 0; i < repetitions; ++i) {
    loaded.model.reset();
    const double start = SecondsNow(), cpu_start = CpuSecondsNow();
    HEED_ASSIGN_OR_RETURN(loaded.model,
                          LoadOnce(*loaded.checkpoint, backend, options, copy.path()));
    times.reading.push_back(SecondsNow() - start);
    times.reading_cpu.push_back(CpuSecondsNow() - cpu_start);
  }
  const int64_t packed = loaded.model->weight_bytes();
  const double gigabytes = static_cast<double>(packed) / 1e9;
  const auto megabytes = [](int64_t bytes) {
    return std::vector<double>{static_cast<double>(bytes) / 1e6};
  };
  loaded.measurements = {
      Summarise("load: hashing the files", "GB/s",
                Rates(static_cast<double>(hashed) / 1e9, times.hashing)),
      Summarise("load: reading and packing, of packed weights", "GB/s",
                Rates(gigabytes, times.packing)),
      Summarise("load: from a packed copy", "GB/s", Rates(gigabytes, times.reading)),
      Summarise("load: the whole of a packed copy", "s", times.reading),
      Summarise("load: the whole of a packed copy, processor time", "s", times.reading_cpu),
      Summarise("memory: packed weights", "MB", megabytes(packed)),
      Summarise("memory: more resident once loaded", "MB", megabytes(after)),
      Summarise("memory: more resident at most while loading", "MB", megabytes(peak))};
  return loaded;
}

}  // namespace heed::bench
