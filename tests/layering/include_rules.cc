#include "tests/layering/include_rules.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace heed {
namespace {

using Prefixes = std::vector<absl::string_view>;

// Files whose path begins with `folder` may include those of heed's own files whose path begins
// with one of `allowed`, and of course their own. The first folder that fits counts.
struct FolderRule {
  absl::string_view folder;
  Prefixes allowed;
};

const std::vector<FolderRule>& FolderRules() {
  static const auto* const kRules = new std::vector<FolderRule>{
      {"model/base/", {}},
      {"model/checkpoint/", {"model/base/"}},
      // tokenizer.h gives the tokens their type.
      {"model/tokenizer/", {"model/base/"}},
      {"model/kernels/", {"model/base/"}},
      {"model/transformer/",
       {"model/base/", "model/checkpoint/", "model/tokenizer/tokenizer.h", "model/kernels/"}},
      {"model/generate/", {"model/base/", "model/tokenizer/tokenizer.h", "model/kernels/"}},
      {"model/inspect/",
       {"model/base/", "model/checkpoint/", "model/tokenizer/tokenizer.h", "model/kernels/",
        "model/transformer/"}},
      {"server/", {"model/", "heed/v1/", "google/rpc/", "grpc/health/"}},
      {"client/", {"heed/v1/", "google/rpc/", "grpc/health/"}},
  };
  return *kRules;
}

// Folders of one program, each of which may include those before it. A path belongs to the longest
// one that it begins with.
const std::vector<Prefixes>& Stacks() {
  static const auto* const kStacks = new std::vector<Prefixes>{
      {"server/engine/", "server/convert/", "server/calls/", "server/inspect/", "server/services/",
       "server/"},
      {"client/", "client/cli/base/", "client/cli/pictures/", "client/cli/request/",
       "client/cli/pages/", "client/cli/attention/", "client/cli/explore/", "client/cli/ladder/",
       "client/cli/bench/", "client/cli/verbs/", "client/cli/"},
  };
  return *kStacks;
}

// Only files whose path begins with one of `holders` may include what begins with one of `headers`.
struct HeaderRule {
  Prefixes headers;
  Prefixes holders;
};

const std::vector<HeaderRule>& HeaderRules() {
  static const auto* const kRules = new std::vector<HeaderRule>{
      {{"oneapi/", "dnnl"}, {"model/kernels/linear_onednn.cc"}},
      {{"pcre2"}, {"model/tokenizer/regex.cc"}},
      {{"simdjson"}, {"model/base/json.cc"}},
      {{"utf8proc"}, {"model/tokenizer/unicode.cc", "client/cli/"}},
      {{"httplib"}, {"client/cli/explore/explore_http.cc"}},
      {{"openssl/"}, {"model/checkpoint/sha256.cc"}},
      {{"spdlog/"}, {"server/log"}},
      {{"immintrin.h"},
       {"model/kernels/vector_", "model/kernels/int_kernels_", "model/kernels/bf16_kernels_",
        "model/base/cpu.cc"}},
      {{"grpc/", "grpc++/", "grpcpp/", "google/", "heed/v1/"}, {"server/", "client/"}},
      {{"gtest/", "gmock/", "tests/"}, {}},
  };
  return *kRules;
}

bool BeginsWithAny(absl::string_view path, const Prefixes& prefixes) {
  return std::any_of(prefixes.begin(), prefixes.end(),
                     [path](absl::string_view prefix) { return absl::StartsWith(path, prefix); });
}

bool IsOwn(absl::string_view path) {
  return BeginsWithAny(path, {"model/", "server/", "client/"});
}

bool IsWire(absl::string_view path) {
  return BeginsWithAny(path, {"grpc/", "grpc++/", "grpcpp/", "google/", "heed/v1/"});
}

bool FolderAllows(absl::string_view file, absl::string_view included) {
  for (const FolderRule& rule : FolderRules()) {
    if (!absl::StartsWith(file, rule.folder)) continue;
    return absl::StartsWith(included, rule.folder) || BeginsWithAny(included, rule.allowed);
  }
  return false;  // a folder that no rule knows
}

// The place in `stack` of the folder that `path` belongs to; -1: none.
int RankIn(const Prefixes& stack, absl::string_view path) {
  int best = -1;
  for (size_t i = 0; i < stack.size(); ++i) {
    if (!absl::StartsWith(path, stack[i])) continue;
    if (best < 0 || stack[i].size() > stack[best].size()) best = static_cast<int>(i);
  }
  return best;
}

bool StackAllows(absl::string_view file, absl::string_view included) {
  return std::all_of(Stacks().begin(), Stacks().end(), [&](const Prefixes& stack) {
    const int rank = RankIn(stack, file);
    return rank < 0 || RankIn(stack, included) <= rank;
  });
}

bool HolderAllows(absl::string_view file, absl::string_view included) {
  for (const HeaderRule& rule : HeaderRules()) {
    if (BeginsWithAny(included, rule.headers) && !BeginsWithAny(file, rule.holders)) return false;
  }
  return true;
}

}  // namespace

absl::string_view IncludedPath(absl::string_view line) {
  line = absl::StripAsciiWhitespace(line);
  if (!absl::ConsumePrefix(&line, "#")) return "";
  line = absl::StripLeadingAsciiWhitespace(line);
  if (!absl::ConsumePrefix(&line, "include")) return "";
  line = absl::StripLeadingAsciiWhitespace(line);
  if (line.empty() || (line[0] != '"' && line[0] != '<')) return "";
  const size_t end = line.find(line[0] == '"' ? '"' : '>', 1);
  return end == absl::string_view::npos ? "" : line.substr(1, end - 1);
}

std::vector<std::string> FindViolations(const std::string& path, absl::string_view source) {
  std::vector<std::string> violations;
  for (absl::string_view line : absl::StrSplit(source, '\n')) {
    const absl::string_view included = IncludedPath(line);
    if (included.empty()) continue;
    const auto report = [&](absl::string_view reason) {
      violations.push_back(absl::StrCat(path, " includes ", included, ": ", reason));
    };
    if (absl::StrContains(included, "..")) report("paths begin at the repository's root");
    if (IsOwn(included) && !(FolderAllows(path, included) && StackAllows(path, included))) {
      report("that dependency points back");
    }
    if (!HolderAllows(path, included)) report("that header belongs to other files");
    if (IsWire(included) && absl::StartsWith(path, "server/engine/")) {
      report("the engine knows neither gRPC nor protobuf");
    }
  }
  return violations;
}

}  // namespace heed
