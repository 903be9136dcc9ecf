// How long texts of the kinds that trip tokenizers take, and what twice the text costs.
//
//   tokenizer_bench [--text=NAME] [FOLDER...]
//
// FOLDER has a tokenizer.json; by default the golden ones and the shipped one are measured. NAME is
// a kind of text, by default all. Prints one line for each folder and kind: milliseconds of CPU for
// 1 MiB (the fastest of five, taken in turn with 512 KiB so that both see the same machine), the
// ratios of 1 MiB to 512 KiB and of 512 KiB to 64 KiB, and a mark where 250 ms or a ratio of 2.3 is
// exceeded.
#include <algorithm>
#include <array>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "model/tokenizer/tokenizer.h"
#include "tests/tokenizer/golden_cases.h"
#include "tests/tokenizer/text_families.h"

namespace heed {
namespace {

constexpr std::array<size_t, 3> kSizes = {1 << 20, 1 << 19, 1 << 16};  // bytes
constexpr int kRuns = 5;
constexpr double kMaxMilliseconds = 250;
constexpr double kMaxRatio = 2.3;

// The processor's time, which other programs disturb less than the clock's.
double CpuMilliseconds() {
  return 1e3 * static_cast<double>(std::clock()) / CLOCKS_PER_SEC;
}

// Negative when the tokenizer refuses the text.
double Milliseconds(const Tokenizer& tokenizer, const std::string& text) {
  const double start = CpuMilliseconds();
  if (!tokenizer.Encode(text, {}).ok()) return -1;
  return CpuMilliseconds() - start;
}

std::string NameOf(const std::string& folder) {
  return std::filesystem::path(folder).filename().string();
}

void Measure(const std::string& folder, absl::string_view wanted) {
  const absl::StatusOr<std::unique_ptr<Tokenizer>> tokenizer =
      ParseTokenizerJson(ReadFileOrDie(folder + "/tokenizer.json"));
  if (!tokenizer.ok()) {
    std::printf("%s: %s\n", folder.c_str(), tokenizer.status().ToString().c_str());
    return;
  }
  std::array<std::vector<TextFamily>, 3> families;
  for (size_t i = 0; i < kSizes.size(); ++i) families[i] = TextFamilies(kSizes[i]);
  for (size_t kind = 0; kind < families[0].size(); ++kind) {
    if (!wanted.empty() && wanted != families[0][kind].name) continue;
    std::array<double, 3> best = {1e30, 1e30, 1e30};
    for (int run = 0; run < kRuns; ++run) {
      for (size_t i = 0; i < kSizes.size(); ++i) {
        best[i] = std::min(best[i], Milliseconds(**tokenizer, families[i][kind].text));
      }
    }
    const bool slow =
        best[0] < 0 || best[0] > kMaxMilliseconds || best[0] > kMaxRatio * best[1] + 1;
    std::printf("%-18s %-26s %8.1f ms  %5.2f  %5.2f %s\n", NameOf(folder).c_str(),
                families[0][kind].name, best[0], best[0] / best[1], best[1] / best[2],
                slow ? "SLOW" : "");
  }
}

std::vector<std::string> DefaultFolders() {
  std::vector<std::string> folders = {HEED_SOURCE_DIR "/model/zoo/decoder"};
  const std::string golden = HEED_SOURCE_DIR "/tests/golden/tokenizers";
  for (const std::string& file : GoldenFiles(golden, "tokenizer.json")) {
    folders.push_back(std::filesystem::path(file).parent_path().string());
  }
  return folders;
}

}  // namespace
}  // namespace heed

int main(int argc, char** argv) {
  std::vector<std::string> folders;
  std::string text;
  for (int i = 1; i < argc; ++i) {
    absl::string_view argument = argv[i];
    if (absl::ConsumePrefix(&argument, "--text=")) {
      text = std::string(argument);
    } else {
      folders.emplace_back(argument);
    }
  }
  if (folders.empty()) folders = heed::DefaultFolders();
  for (const std::string& folder : folders) heed::Measure(folder, text);
  return 0;
}
