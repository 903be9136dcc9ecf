#include "tests/tokenizer/golden_cases.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>

#include "absl/strings/escaping.h"
#include "model/base/status_macros.h"
#include "model/base/utf8.h"
#include "model/tokenizer/json.h"

namespace heed {
namespace {

absl::StatusOr<std::string> Base64At(const JsonNode& json, absl::string_view key) {
  HEED_ASSIGN_OR_RETURN(const absl::string_view encoded, json.StringAt(key));
  std::string decoded;
  if (!absl::Base64Unescape(encoded, &decoded)) return json.Error("holds no base64");
  return decoded;
}

absl::StatusOr<std::vector<int64_t>> Integers(const JsonNode& json) {
  std::vector<int64_t> values;
  HEED_RETURN_IF_ERROR(json.ForEachElement([&](int64_t, const JsonNode& element) {
    HEED_ASSIGN_OR_RETURN(const int64_t value, element.Integer(0, int64_t{1} << 31));
    values.push_back(value);
    return absl::OkStatus();
  }));
  return values;
}

absl::StatusOr<std::vector<TokenId>> IdsAt(const JsonNode& json, absl::string_view key) {
  HEED_ASSIGN_OR_RETURN(const JsonNode array, json.Get(key));
  HEED_ASSIGN_OR_RETURN(const std::vector<int64_t> values, Integers(array));
  return std::vector<TokenId>(values.begin(), values.end());
}

absl::StatusOr<std::vector<ByteRange>> RangesAt(const JsonNode& json, absl::string_view key) {
  HEED_ASSIGN_OR_RETURN(const JsonNode array, json.Get(key));
  std::vector<ByteRange> ranges;
  HEED_RETURN_IF_ERROR(array.ForEachElement([&](int64_t, const JsonNode& element) {
    HEED_ASSIGN_OR_RETURN(const std::vector<int64_t> pair, Integers(element));
    if (pair.size() != 2) return element.Error("is no pair");
    ranges.push_back({pair[0], pair[1]});
    return absl::OkStatus();
  }));
  return ranges;
}

absl::StatusOr<GoldenCase> ParseCase(const JsonNode& json) {
  GoldenCase result;
  HEED_ASSIGN_OR_RETURN(const absl::string_view name, json.StringAt("name"));
  result.name = std::string(name);
  HEED_ASSIGN_OR_RETURN(result.text, Base64At(json, "text_base64"));
  HEED_ASSIGN_OR_RETURN(result.ids, IdsAt(json, "ids"));
  HEED_ASSIGN_OR_RETURN(result.ids_with_special, IdsAt(json, "ids_with_special"));
  HEED_ASSIGN_OR_RETURN(const std::optional<JsonNode> as_text, json.Find("ids_specials_as_text"));
  if (as_text.has_value()) {
    HEED_ASSIGN_OR_RETURN(result.ids_specials_as_text, IdsAt(json, "ids_specials_as_text"));
  }
  HEED_ASSIGN_OR_RETURN(result.offsets_with_special, RangesAt(json, "byte_offsets_with_special"));
  HEED_ASSIGN_OR_RETURN(result.decoded, Base64At(json, "decoded_base64"));
  HEED_ASSIGN_OR_RETURN(result.decoded_all, Base64At(json, "decoded_all_base64"));
  return result;
}

absl::StatusOr<std::vector<GoldenCase>> ParseCases(const std::string& text) {
  HEED_ASSIGN_OR_RETURN(const auto document, JsonTree::Parse(text));
  HEED_ASSIGN_OR_RETURN(const JsonNode array, document->root().Get("cases"));
  std::vector<GoldenCase> cases;
  HEED_RETURN_IF_ERROR(array.ForEachElement([&](int64_t, const JsonNode& element) {
    HEED_ASSIGN_OR_RETURN(cases.emplace_back(), ParseCase(element));
    return absl::OkStatus();
  }));
  return cases;
}

}  // namespace

std::string ReadFileOrDie(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream contents;
  contents << file.rdbuf();
  if (!file) {
    std::cerr << "cannot read " << path << "\n";
    std::exit(1);
  }
  return contents.str();
}

std::vector<GoldenCase> ReadGoldenCases(const std::string& path) {
  absl::StatusOr<std::vector<GoldenCase>> cases = ParseCases(ReadFileOrDie(path));
  if (!cases.ok()) {
    std::cerr << path << ": " << cases.status() << "\n";
    std::exit(1);
  }
  return *std::move(cases);
}

std::vector<std::string> GoldenFolders(const std::string& path) {
  std::vector<std::string> folders;
  for (const auto& entry : std::filesystem::directory_iterator(path)) {
    if (std::filesystem::exists(entry.path() / "cases.json"))
      folders.push_back(entry.path().string());
  }
  std::sort(folders.begin(), folders.end());
  return folders;
}

std::vector<int64_t> OriginalPositions(const std::string& text) {
  constexpr int kReplacementBytes = 3;
  std::vector<int64_t> positions;
  for (size_t at = 0; at < text.size();) {
    const Utf8Char c = DecodeUtf8(absl::string_view(text).substr(at));
    positions.insert(positions.end(), c.valid ? c.length : kReplacementBytes,
                     static_cast<int64_t>(at));
    at += c.length;
  }
  positions.push_back(static_cast<int64_t>(text.size()));
  return positions;
}

}  // namespace heed
