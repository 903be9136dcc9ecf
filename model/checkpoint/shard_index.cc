#include "model/checkpoint/shard_index.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "model/base/json.h"
#include "model/base/status_macros.h"
#include "model/checkpoint/errors.h"

namespace heed {
namespace {

// The index is untrusted, so a shard may only be a file of the same folder. That also excludes
// absolute paths.
absl::Status CheckShardName(const JsonValue& value, absl::string_view name) {
  constexpr absl::string_view kSuffix = ".safetensors";
  const bool is_plain = name.find_first_of(absl::string_view("/\\\0", 3)) == name.npos &&
                        !absl::StrContains(name, "..");
  if (is_plain && absl::EndsWith(name, kSuffix) && name.size() > kSuffix.size()) {
    return absl::OkStatus();
  }
  return value.Unexpected(
      "the plain name of a .safetensors file in the same folder, without a path or \"..\"");
}

}  // namespace

absl::StatusOr<ShardIndex> ParseShardIndex(absl::string_view file, absl::string_view text) {
  HEED_ASSIGN_OR_RETURN(const JsonDocument document, JsonDocument::Parse(file, text));
  HEED_ASSIGN_OR_RETURN(const JsonValue weight_map, document.root().Get("weight_map"));
  HEED_ASSIGN_OR_RETURN(const auto members, weight_map.Object());
  ShardIndex shards;
  for (const auto& [tensor, value] : members) {
    HEED_ASSIGN_OR_RETURN(const absl::string_view shard, value.String());
    HEED_RETURN_IF_ERROR(CheckShardName(value, shard));
    shards[std::string(shard)].emplace_back(tensor);
    if (shards.size() > kMaxShards) {
      return CheckpointInvalid(absl::StrCat(file, ": names more than ", kMaxShards,
                                            " shards, which is the most allowed"));
    }
  }
  if (shards.empty()) return CheckpointInvalid(absl::StrCat(file, ": weight_map names no tensor"));
  return shards;
}

}  // namespace heed
