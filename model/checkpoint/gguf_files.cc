#include "model/checkpoint/gguf_files.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "model/base/json.h"
#include "model/base/status_macros.h"
#include "model/checkpoint/errors.h"

namespace heed {
namespace {

constexpr char kSplitNumber[] = "split.no";
constexpr char kSplitCount[] = "split.count";
constexpr char kSplitTensors[] = "split.tensors.count";
constexpr IntRange kAnyCount{0, INT64_MAX};

// "-00001-of-00003.gguf"
constexpr size_t kDigits = 5;
constexpr absl::string_view kOf = "-of-";
constexpr absl::string_view kEnding = ".gguf";
constexpr size_t kSuffixBytes = 1 + kDigits + kOf.size() + kDigits + kEnding.size();

std::string BaseName(absl::string_view path) {
  return std::string(path.substr(path.rfind('/') + 1));
}

// The integer under `key`, or `fallback` when there is none.
absl::StatusOr<int64_t> IntOr(const GgufHeader& header, absl::string_view key, int64_t fallback) {
  const std::optional<GgufValue> value = header.Find(key);
  if (!value) return fallback;
  return value->Int(kAnyCount);
}

absl::Status CheckEquals(const GgufHeader& header, absl::string_view key, int64_t expected) {
  HEED_ASSIGN_OR_RETURN(const GgufValue value, header.Get(key));
  HEED_ASSIGN_OR_RETURN(const int64_t number, value.Int(kAnyCount));
  if (number == expected) return absl::OkStatus();
  return value.Unexpected(absl::StrCat(expected, ", as the file's name says"));
}

}  // namespace

bool IsGgufName(absl::string_view name) {
  return absl::EndsWithIgnoreCase(name, kEnding);
}

std::string GgufPartName::Of(int part_number) const {
  return absl::StrFormat("%s-%05d-of-%05d.gguf", prefix, part_number, count);
}

std::optional<GgufPartName> ParseGgufPartName(absl::string_view path) {
  if (path.size() <= kSuffixBytes || !absl::EndsWith(path, kEnding)) return std::nullopt;
  const absl::string_view suffix = path.substr(path.size() - kSuffixBytes);
  GgufPartName name{std::string(path.substr(0, path.size() - kSuffixBytes))};
  const absl::string_view number = suffix.substr(1, kDigits);
  const absl::string_view count = suffix.substr(1 + kDigits + kOf.size(), kDigits);
  if (suffix[0] != '-' || suffix.substr(1 + kDigits, kOf.size()) != kOf ||
      !absl::ascii_isdigit(number[0]) || !absl::ascii_isdigit(count[0]) ||
      !absl::SimpleAtoi(number, &name.number) || !absl::SimpleAtoi(count, &name.count)) {
    return std::nullopt;
  }
  return name;
}

absl::StatusOr<GgufFiles> GgufFiles::Open(const std::string& path) {
  GgufFiles files;
  const std::optional<GgufPartName> name = ParseGgufPartName(path);
  if (!name) {
    HEED_RETURN_IF_ERROR(files.AddPart(path));
    HEED_RETURN_IF_ERROR(files.CheckWhole(path));
    return files;
  }
  if (name->count < 1 || name->count > kMaxGgufParts || name->number < 1 ||
      name->number > name->count) {
    return CheckpointInvalid(absl::StrCat(BaseName(path), ": is named as part ", name->number,
                                          " of ", name->count, "; a model has from 1 to ",
                                          kMaxGgufParts, " parts"));
  }
  for (int number = 1; number <= name->count; ++number) {
    HEED_RETURN_IF_ERROR(files.AddPart(name->Of(number)));
    HEED_RETURN_IF_ERROR(files.CheckPart(number, name->count));
  }
  HEED_RETURN_IF_ERROR(files.CheckTensorCount());
  HEED_RETURN_IF_ERROR(files.CheckNamesAcrossParts());
  return files;
}

absl::Status GgufFiles::AddPart(const std::string& path) {
  HEED_ASSIGN_OR_RETURN(std::unique_ptr<File> file, File::Open(path, BaseName(path)));
  HEED_ASSIGN_OR_RETURN(std::unique_ptr<const GgufHeader> header, GgufHeader::Read(*file));
  parts_.push_back({std::move(file), std::move(header)});
  return absl::OkStatus();
}

absl::Status GgufFiles::CheckPart(int number, int count) const {
  const GgufHeader& header = *parts_.back().header;
  HEED_RETURN_IF_ERROR(CheckEquals(header, kSplitNumber, number - 1));
  return CheckEquals(header, kSplitCount, count);
}

// A part that lost its number would be half a model.
absl::Status GgufFiles::CheckWhole(const std::string& path) const {
  HEED_ASSIGN_OR_RETURN(const int64_t count, IntOr(metadata(), kSplitCount, 0));
  if (count <= 1) return absl::OkStatus();
  HEED_ASSIGN_OR_RETURN(const int64_t number, IntOr(metadata(), kSplitNumber, 0));
  return CheckpointInvalid(absl::StrFormat(
      "%s: is part %d of %d of a model; the parts must lie in one folder and be named "
      "NAME-00001-of-%05d.gguf and so on",
      BaseName(path), number + 1, count, count));
}

absl::Status GgufFiles::CheckTensorCount() const {
  HEED_ASSIGN_OR_RETURN(const GgufValue value, metadata().Get(kSplitTensors));
  HEED_ASSIGN_OR_RETURN(const int64_t expected, value.Int(kAnyCount));
  if (expected == tensor_count()) return absl::OkStatus();
  return value.Unexpected(
      absl::StrCat(tensor_count(), ", the number of tensors in the ", parts_.size(), " parts"));
}

absl::Status GgufFiles::CheckNamesAcrossParts() const {
  for (size_t part = 1; part < parts_.size(); ++part) {
    const GgufHeader& header = *parts_[part].header;
    for (int64_t i = 0; i < header.tensor_count(); ++i) {
      const absl::string_view name = header.tensor(i).name;
      for (size_t before = 0; before < part; ++before) {
        if (!parts_[before].header->FindTensor(name)) continue;
        return CheckpointInvalid(absl::StrCat(header.file(), ": has the tensor ", Quoted(name),
                                              ", which is in ", parts_[before].header->file(),
                                              " too"));
      }
    }
  }
  return absl::OkStatus();
}

std::optional<GgufFiles::Place> GgufFiles::Find(absl::string_view tensor_name) const {
  for (const Part& part : parts_) {
    std::optional<GgufTensor> tensor = part.header->FindTensor(tensor_name);
    if (tensor) return Place{*std::move(tensor), part.file.get()};
  }
  return std::nullopt;
}

int64_t GgufFiles::tensor_count() const {
  int64_t count = 0;
  for (const Part& part : parts_) count += part.header->tensor_count();
  return count;
}

}  // namespace heed
