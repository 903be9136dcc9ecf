#include "client/cli/request/edits.h"

#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "client/cli/request/inspect_calls.h"

namespace heed::cli {
namespace {

using Edit = absl::StatusOr<v1::Intervention>;
using Spans = std::vector<v1::Span>;

constexpr std::pair<const char*, v1::Site> kSites[] = {{"residual", v1::SITE_RESIDUAL},
                                                       {"residual-mid", v1::SITE_RESIDUAL_MID},
                                                       {"attention", v1::SITE_ATTENTION_OUTPUT},
                                                       {"mlp", v1::SITE_MLP_OUTPUT},
                                                       {"query", v1::SITE_QUERY},
                                                       {"key", v1::SITE_KEY},
                                                       {"value", v1::SITE_VALUE},
                                                       {"mixed", v1::SITE_MIXED}};

constexpr std::pair<const char*, v1::WeightPreset> kPresets[] = {
    {"last-word", v1::WEIGHT_PRESET_LAST_WORD},
    {"uniform", v1::WEIGHT_PRESET_UNIFORM},
    {"identity", v1::WEIGHT_PRESET_IDENTITY},
    {"first-word", v1::WEIGHT_PRESET_FIRST_WORD}};

void AddSpans(const Spans& spans, google::protobuf::RepeatedPtrField<v1::Span>* out) {
  for (const v1::Span& span : spans) {
    if (span.has_begin()) *out->Add() = span;
  }
}

// Cuts `text` behind the last `separator`; the second part is empty without one.
std::pair<std::string, std::string> SplitLast(const std::string& text, char separator) {
  const size_t at = text.rfind(separator);
  if (at == std::string::npos) return {text, ""};
  return {text.substr(0, at), text.substr(at + 1)};
}

// "2" or "*", the latter adding nothing.
bool ReadIndex(const std::string& text, google::protobuf::RepeatedField<int32_t>* out) {
  int32_t index = 0;
  if (text == "*") return true;
  if (!absl::SimpleAtoi(text, &index)) return false;
  out->Add(index);
  return true;
}

// Fills layers, heads and positions; gives the site, or none when the text names none.
absl::StatusOr<v1::Site> ReadPlace(const std::string& option, const std::string& text,
                                   RunSource& source, v1::Intervention* edit) {
  std::string rest = text;
  v1::Site site = v1::SITE_UNSPECIFIED;
  if (const size_t at = rest.find(':'); at < rest.find('@')) {
    const auto named = ParseSite(rest.substr(0, at));
    if (!named.ok()) return named.status();
    site = *named;
    rest = rest.substr(at + 1);
  }
  if (const size_t at = rest.find('@'); at != std::string::npos) {
    const auto spans = source.Find(rest.substr(at + 1));
    if (!spans.ok()) return spans.status();
    AddSpans(*spans, edit->mutable_positions());
    rest = rest.substr(0, at);
  }
  const std::vector<std::string> parts = absl::StrSplit(rest, '.');
  const bool reads = parts.size() <= 2 && ReadIndex(parts[0], edit->mutable_layers()) &&
                     (parts.size() == 1 || ReadIndex(parts[1], edit->mutable_heads()));
  if (reads) return site;
  return UsageError(absl::StrCat("--", option, "=", text, " is no head.\nFor example: --", option,
                                 "=2.3 for head 3 of layer 2, --", option,
                                 "=2 for all of layer 2, or --", option,
                                 "=mlp:1@keys for a site at a word."));
}

// All of a file. (A stream throws where the path is a folder's.)
absl::StatusOr<std::string> ReadBytes(const std::string& path) {
  std::FILE* const file = std::fopen(path.c_str(), "rb");
  std::string bytes;
  bool is_read = file != nullptr;
  char part[4096];
  while (is_read && std::feof(file) == 0) {
    bytes.append(part, std::fread(part, 1, sizeof part, file));
    is_read = std::ferror(file) == 0;
  }
  const int error = errno;
  if (file != nullptr) std::fclose(file);
  if (is_read) return bytes;
  return UsageError(absl::StrCat("cannot read ", path, ": ", std::strerror(error), "."));
}

// The number `number` of an option's whole `text`.
absl::StatusOr<double> ReadNumber(const std::string& option, const std::string& text,
                                  const std::string& number) {
  double value = 0;
  if (absl::SimpleAtod(number, &value) && !std::isnan(value)) return value;
  return UsageError(absl::StrCat("--", option, "=", text, ": \"", number, "\" is not a number."));
}

// "PLACE=VALUE" in its halves.
absl::StatusOr<std::pair<std::string, std::string>> PlaceAndValue(const std::string& option,
                                                                  const std::string& text,
                                                                  const char* value_name) {
  auto halves = SplitLast(text, '=');
  if (!halves.first.empty() && !halves.second.empty()) return halves;
  return UsageError(absl::StrCat("--", option, "=", text,
                                 " names no place and value.\nFor example: --", option,
                                 "=2.3=", value_name));
}

// "cabinet->keys" into positions and keys.
absl::Status ReadEdge(const std::string& option, const std::string& text, RunSource& source,
                      v1::Intervention* edit) {
  const std::vector<std::string> ends = absl::StrSplit(text, absl::MaxSplits("->", 1));
  if (ends.size() != 2 || ends[0].empty() || ends[1].empty()) {
    const char* value = option == "bias" ? "=2" : "";
    return UsageError(absl::StrCat("--", option, "=\"", text, "\" is no edge.\nFor example: --",
                                   option, "=\"cabinet->keys", value, "\", or --", option,
                                   "=\"-1->2", value, "\" by positions."));
  }
  const auto queries = source.Find(ends[0]);
  if (!queries.ok()) return queries.status();
  const auto keys = source.Find(ends[1]);
  if (!keys.ok()) return keys.status();
  AddSpans(*queries, edit->mutable_positions());
  AddSpans(*keys, edit->mutable_keys());
  return absl::OkStatus();
}

Edit ReadCut(const std::string& text, RunSource& source) {
  v1::Intervention edit;
  edit.mutable_knock_out();
  if (absl::Status s = ReadEdge("cut", text, source, &edit); !s.ok()) return s;
  return edit;
}

Edit ReadBias(const std::string& text, RunSource& source) {
  const auto [edge, value] = SplitLast(text, '=');
  v1::Intervention edit;
  if (value.empty()) {
    return UsageError(
        absl::StrCat("--bias=", text, " says not how much.\nFor example: --bias=\"", text, "=2\""));
  }
  if (absl::Status s = ReadEdge("bias", edge, source, &edit); !s.ok()) return s;
  const auto bias = ReadNumber("bias", text, value);
  if (!bias.ok()) return bias.status();
  edit.mutable_add_to_scores()->set_bias(*bias);
  return edit;
}

Edit ReadAblate(const std::string& text, RunSource& source) {
  v1::Intervention edit;
  const auto site = ReadPlace("ablate", text, source, &edit);
  if (!site.ok()) return site.status();
  edit.mutable_scale_site()->set_site(*site);
  edit.mutable_scale_site()->set_factor(0);
  return edit;
}

Edit ReadMeanAblate(const std::string& text, RunSource& source) {
  v1::Intervention edit;
  const auto site = ReadPlace("mean-ablate", text, source, &edit);
  if (!site.ok()) return site.status();
  edit.mutable_mean_site()->set_site(*site);
  return edit;
}

Edit ReadScale(const std::string& text, RunSource& source) {
  const auto halves = PlaceAndValue("scale", text, "0.5");
  if (!halves.ok()) return halves.status();
  v1::Intervention edit;
  const auto site = ReadPlace("scale", halves->first, source, &edit);
  if (!site.ok()) return site.status();
  const auto factor = ReadNumber("scale", text, halves->second);
  if (!factor.ok()) return factor.status();
  edit.mutable_scale_site()->set_site(*site);
  edit.mutable_scale_site()->set_factor(*factor);
  return edit;
}

// The trace's own words are found in it, not in the run that is edited.
Edit ReadPatch(const std::string& text, RunSource& source) {
  const auto halves = PlaceAndValue("patch", text, "TRACE");
  if (!halves.ok()) return halves.status();
  v1::Intervention edit;
  const auto site = ReadPlace("patch", halves->first, source, &edit);
  if (!site.ok()) return site.status();
  edit.mutable_patch_site()->set_site(*site);
  const auto [trace, word] =
      std::pair<std::string, std::string>(absl::StrSplit(halves->second, absl::MaxSplits('@', 1)));
  edit.mutable_patch_site()->set_trace_id(trace);
  if (word.empty()) return edit;
  RunSource from = RunSource::OfTrace(trace, source.session());
  const auto spans = from.Find(word);
  if (!spans.ok()) return spans.status();
  AddSpans(*spans, edit.mutable_patch_site()->mutable_source_positions());
  return edit;
}

// "PLACE=FILE" or "PLACE=2*FILE".
Edit ReadAdd(const std::string& text, RunSource& source) {
  const auto halves = PlaceAndValue("add", text, "FILE");
  if (!halves.ok()) return halves.status();
  v1::Intervention edit;
  const auto site = ReadPlace("add", halves->first, source, &edit);
  if (!site.ok()) return site.status();
  v1::AddVector* const add = edit.mutable_add_vector();
  add->set_site(*site);
  std::string path = halves->second;
  double scale = 1;
  if (const size_t star = path.find('*');
      star != std::string::npos && absl::SimpleAtod(path.substr(0, star), &scale)) {
    add->set_scale(scale);
    path = path.substr(star + 1);
  }
  auto vector = ReadNumbers(path);
  if (!vector.ok()) return vector.status();
  *add->mutable_vector() = *std::move(vector);
  return edit;
}

Edit ReadProjectOut(const std::string& text, RunSource& source) {
  const auto halves = PlaceAndValue("project-out", text, "FILE");
  if (!halves.ok()) return halves.status();
  v1::Intervention edit;
  const auto site = ReadPlace("project-out", halves->first, source, &edit);
  if (!site.ok()) return site.status();
  edit.mutable_project_out()->set_site(*site);
  auto direction = ReadNumbers(halves->second);
  if (!direction.ok()) return direction.status();
  *edit.mutable_project_out()->mutable_direction() = *std::move(direction);
  return edit;
}

// "BETA" or "BETA@WORD".
Edit ReadFocus(const std::string& text, RunSource& source) {
  const auto [number, word] =
      std::pair<std::string, std::string>(absl::StrSplit(text, absl::MaxSplits('@', 1)));
  const auto beta = ReadNumber("focus", text, number);
  if (!beta.ok()) return beta.status();
  v1::Intervention edit;
  edit.mutable_scale_scores()->set_beta(*beta);
  if (word.empty()) return edit;
  const auto spans = source.Find(word);
  if (!spans.ok()) return spans.status();
  AddSpans(*spans, edit.mutable_positions());
  return edit;
}

// "WORD=.1,.2,.7".
Edit ReadWeights(const std::string& text, RunSource& source) {
  const auto [word, list] = SplitLast(text, '=');
  v1::Intervention edit;
  for (absl::string_view part : absl::StrSplit(list, ',', absl::SkipEmpty())) {
    double weight = 0;
    if (!absl::SimpleAtod(part, &weight)) {
      return UsageError(absl::StrCat("--weights=", text, ": \"", part, "\" is not a number."));
    }
    edit.mutable_set_weights()->add_weights(weight);
  }
  if (word.empty() || edit.set_weights().weights().empty()) {
    return UsageError(absl::StrCat("--weights=", text,
                                   " is no row.\nFor example: --weights=\"-1=.1,.2,.3,.4\": what "
                                   "the last word gives to each word up to itself."));
  }
  const auto spans = source.Find(word);
  if (!spans.ok()) return spans.status();
  AddSpans(*spans, edit.mutable_positions());
  return edit;
}

// "NAME" or "NAME@WORD".
Edit ReadPreset(const std::string& text, RunSource& source) {
  const auto [wanted, word] =
      std::pair<std::string, std::string>(absl::StrSplit(text, absl::MaxSplits('@', 1)));
  for (const auto& [name, preset] : kPresets) {
    if (wanted != name) continue;
    v1::Intervention edit;
    edit.set_weight_preset(preset);
    if (word.empty()) return edit;
    const auto spans = source.Find(word);
    if (!spans.ok()) return spans.status();
    AddSpans(*spans, edit.mutable_positions());
    return edit;
  }
  return UsageError(
      absl::StrCat("--preset=", text, " is not one of last-word, uniform, identity, first-word."));
}

template <v1::ReplaceMask::Kind kKind>
Edit ReadMask(const std::string&, RunSource&) {
  v1::Intervention edit;
  edit.mutable_replace_mask()->set_kind(kKind);
  return edit;
}

struct EditKind {
  const char* option;
  bool has_place;  // its text says where it applies
  Edit (*read)(const std::string& text, RunSource& source);
};
constexpr EditKind kEdits[] = {
    {"cut", false, ReadCut},
    {"ablate", true, ReadAblate},
    {"mean-ablate", true, ReadMeanAblate},
    {"scale", true, ReadScale},
    {"focus", false, ReadFocus},
    {"bias", false, ReadBias},
    {"preset", false, ReadPreset},
    {"weights", false, ReadWeights},
    {"patch", true, ReadPatch},
    {"add", true, ReadAdd},
    {"project-out", true, ReadProjectOut},
    {"bidirectional", false, ReadMask<v1::ReplaceMask::KIND_BIDIRECTIONAL>},
    {"causal", false, ReadMask<v1::ReplaceMask::KIND_CAUSAL>}};

// "layer 3", "layers 0,2"; empty for none.
std::string ChosenOf(const Arguments& arguments, const std::string& option, const char* noun) {
  const std::string numbers = absl::StrJoin(arguments.Strings(option), ",");
  if (numbers.empty()) return "";
  return absl::StrCat(noun, absl::StrContains(numbers, ',') ? "s " : " ", numbers);
}

// Where an edit without a place of its own applies, as its name ends: " in 3.4", as places are
// written; " in heads 1,2 of layers 0,3" where several are chosen; empty for all of them.
std::string ScopeText(const Arguments& arguments, const std::string& layer_option,
                      const std::string& head_option) {
  const std::string layers = ChosenOf(arguments, layer_option, "layer");
  const std::string heads = ChosenOf(arguments, head_option, "head");
  if (layers.empty() && heads.empty()) return "";
  if (layers.empty() || heads.empty()) return absl::StrCat(" in ", heads, layers);
  if (absl::StrContains(layers, ',') || absl::StrContains(heads, ',')) {
    return absl::StrCat(" in ", heads, " of ", layers);
  }
  return absl::StrCat(" in ", arguments.String(layer_option), ".", arguments.String(head_option));
}

}  // namespace

absl::StatusOr<v1::Tensor> ReadNumbers(const std::string& path) {
  const auto read = ReadBytes(path);
  if (!read.ok()) return read.status();
  const std::string& bytes = *read;
  v1::Tensor tensor;
  tensor.set_dtype(v1::DATA_TYPE_F32);
  if (absl::StartsWith(bytes, "\x93NUMPY")) {
    const size_t header = bytes.size() < 10 ? std::string::npos
                                            : 10 + static_cast<unsigned char>(bytes[8]) +
                                                  256 * static_cast<unsigned char>(bytes[9]);
    if (header > bytes.size() || !absl::StrContains(bytes.substr(0, header), "'<f4'")) {
      return UsageError(absl::StrCat(path, " is no .npy file of float32 (numpy's dtype '<f4')."));
    }
    if (absl::StrContains(bytes.substr(0, header), "'fortran_order': True")) {
      return UsageError(absl::StrCat(
          path, " holds its columns one after another; write it with numpy.ascontiguousarray."));
    }
    tensor.set_data(bytes.substr(header));
  } else {
    for (absl::string_view part :
         absl::StrSplit(bytes, absl::ByAnyChar(", \t\r\n[]"), absl::SkipEmpty())) {
      float value = 0;
      if (!absl::SimpleAtof(part, &value)) {
        return UsageError(absl::StrCat(path, ": \"", part, "\" is not a number."));
      }
      tensor.mutable_data()->append(reinterpret_cast<const char*>(&value), sizeof value);
    }
  }
  tensor.add_shape(static_cast<int64_t>(tensor.data().size() / sizeof(float)));
  return tensor;
}

absl::StatusOr<v1::Site> ParseSite(const std::string& name) {
  std::string names;
  for (const auto& [known, site] : kSites) {
    if (name == known) return site;
    absl::StrAppend(&names, names.empty() ? "" : ", ", known);
  }
  return UsageError(absl::StrCat("\"", name, "\" is not one of the sites ", names, "."));
}

std::string SiteName(v1::Site site) {
  for (const auto& [name, known] : kSites) {
    if (site == known) return name;
  }
  return "site";
}

bool HasHeads(v1::Site site) {
  return site == v1::SITE_QUERY || site == v1::SITE_KEY || site == v1::SITE_VALUE ||
         site == v1::SITE_MIXED;
}

std::vector<OptionSpec> EditOptions() {
  return {
      {"cut", "FROM->TO",
       "Cut the edge from one word to another, by word or position; * is any. Repeat it for more.",
       true},
      {"ablate", "PLACE",
       "Take a head out: 2.3 is head 3 of layer 2, 2 all of layer 2, mlp:1@keys a site at a word.",
       true},
      {"mean-ablate", "PLACE", "Put a head's mean over the prompt in its place.", true},
      {"scale", "PLACE=X", "Multiply a head or site by X.", true},
      {"focus", "BETA[@WORD]",
       "Multiply scores: 0 looks everywhere alike, 1 changes nothing, 10 is sharp.", true},
      {"bias", "FROM->TO=X", "Add X to the score of an edge.", true},
      {"preset", "NAME[@WORD]",
       "Weights in place of the model's: last-word, uniform, identity, first-word.", true},
      {"weights", "WORD=W,...", "Your own weights for a word's row, summing to 1.", true},
      {"renormalize", "", "Divide the numbers of --weights by their sum."},
      {"patch", "PLACE=TRACE[@WORD]", "Put in what a site held in a trace.", true},
      {"add", "PLACE=[X*]FILE", "Add a vector: a .npy of float32, or numbers as text.", true},
      {"project-out", "PLACE=FILE", "Remove the part along a vector.", true},
      {"bidirectional", "",
       "Let every word see later ones too: not what a causal model was trained for."},
      {"causal", "", "Hide later words: not what a bidirectional model was trained for."},
  };
}

std::vector<OptionSpec> EditScopeOptions() {
  return {{"edit-layer", "L", "Layers of --cut, --focus and other edits without a place.", true},
          {"edit-head", "H", "Their heads.", true}};
}

absl::StatusOr<std::vector<NamedEdit>> ReadEdits(const Arguments& arguments, RunSource& source,
                                                 const std::string& layer_option,
                                                 const std::string& head_option) {
  const bool renormalize = arguments.Has("renormalize");
  std::vector<NamedEdit> edits;
  for (const auto& [option, text] : arguments.given()) {
    const auto is_named = [&](const EditKind& kind) { return option == kind.option; };
    const auto kind = absl::c_find_if(kEdits, is_named);
    if (kind == std::end(kEdits)) continue;
    Edit edit = kind->read(text, source);
    if (!edit.ok()) return edit.status();
    if (edit->has_set_weights()) edit->mutable_set_weights()->set_renormalize(renormalize);
    const bool has_value = !text.empty();
    edits.push_back({.name = absl::StrCat(option, has_value ? " " : "", text),
                     .typed = absl::StrCat("--", option, has_value ? "=" : "", text),
                     .edit = *std::move(edit)});
    // A place in the text is the edit's own; other edits go where the scope options say.
    if (kind->has_place) continue;
    NamedEdit& named = edits.back();
    absl::Status status = ReadIndices(arguments, layer_option, named.edit.mutable_layers());
    if (status.ok()) status = ReadIndices(arguments, head_option, named.edit.mutable_heads());
    if (!status.ok()) return status;
    named.name += ScopeText(arguments, layer_option, head_option);
    named.layer_option = layer_option;
    named.head_option = head_option;
  }
  if (renormalize && arguments.Strings("weights").empty()) {
    return UsageError("--renormalize needs --weights.");
  }
  return edits;
}

void AddEdits(const std::vector<NamedEdit>& edits, absl::string_view path, Session& session,
              google::protobuf::RepeatedPtrField<v1::Intervention>* list) {
  for (const NamedEdit& edit : edits) {
    const std::string field = absl::StrCat(path, "[", list->size(), "]");
    session.NameField(field, edit.typed);
    if (!edit.layer_option.empty()) {
      session.NameField(absl::StrCat(field, ".layers"), absl::StrCat("--", edit.layer_option));
      session.NameField(absl::StrCat(field, ".heads"), absl::StrCat("--", edit.head_option));
    }
    *list->Add() = edit.edit;
  }
}

}  // namespace heed::cli
