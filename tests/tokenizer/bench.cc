// How long texts of the kinds that trip tokenizers take, and what twice the text costs.
//
//   tokenizer_bench [FOLDER...]    folders with a tokenizer.json; by default the golden ones
//
// Prints one line for each folder and kind of text: milliseconds of CPU for 1 MiB (the fastest of
// three), the ratio to 512 KiB, and a mark where they exceed 250 ms or 2.3.
#include <algorithm>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "model/tokenizer/tokenizer.h"
#include "tests/tokenizer/golden_cases.h"
#include "tests/tokenizer/text_families.h"

namespace heed {
namespace {

constexpr size_t kBytes = 1 << 20;
constexpr double kMaxMilliseconds = 250;
constexpr double kMaxRatio = 2.3;

// The processor's time, which other programs disturb less than the clock's.
double CpuMilliseconds() {
  return 1e3 * static_cast<double>(std::clock()) / CLOCKS_PER_SEC;
}

// The fastest of three runs; negative when the tokenizer refuses the text.
double Milliseconds(const Tokenizer& tokenizer, const std::string& text) {
  double fastest = -1;
  for (int run = 0; run < 3; ++run) {
    const double start = CpuMilliseconds();
    if (!tokenizer.Encode(text, {}).ok()) return -1;
    const double took = CpuMilliseconds() - start;
    fastest = fastest < 0 ? took : std::min(fastest, took);
  }
  return fastest;
}

void Measure(const std::string& folder) {
  const absl::StatusOr<std::unique_ptr<Tokenizer>> tokenizer =
      ParseTokenizerJson(ReadFileOrDie(folder + "/tokenizer.json"));
  if (!tokenizer.ok()) {
    std::printf("%s: %s\n", folder.c_str(), tokenizer.status().ToString().c_str());
    return;
  }
  const std::string name = std::filesystem::path(folder).filename().string();
  const std::vector<TextFamily> whole = TextFamilies(kBytes);
  const std::vector<TextFamily> half = TextFamilies(kBytes / 2);
  for (size_t i = 0; i < whole.size(); ++i) {
    const double time = Milliseconds(**tokenizer, whole[i].text);
    const double ratio = time / Milliseconds(**tokenizer, half[i].text);
    const bool slow = time < 0 || time > kMaxMilliseconds || (ratio > kMaxRatio && time > 1);
    std::printf("%-18s %-26s %8.1f ms  %5.2f %s\n", name.c_str(), whole[i].name, time, ratio,
                slow ? "SLOW" : "");
  }
}

}  // namespace
}  // namespace heed

int main(int argc, char** argv) {
  std::vector<std::string> folders(argv + 1, argv + argc);
  if (folders.empty()) {
    const std::string golden = HEED_SOURCE_DIR "/tests/golden/tokenizers";
    for (const std::string& file : heed::GoldenFiles(golden, "tokenizer.json")) {
      folders.push_back(std::filesystem::path(file).parent_path().string());
    }
  }
  for (const std::string& folder : folders) heed::Measure(folder);
  return 0;
}
