// Reads JSON through protobuf, so that what `heed --json` prints is judged by something other than
// its writer.
#ifndef HEED_TESTS_CLIENT_JSON_CHECK_H_
#define HEED_TESTS_CLIENT_JSON_CHECK_H_

#include <string>

#include "google/protobuf/struct.pb.h"
#include "google/protobuf/util/json_util.h"

namespace heed::testing {

// Parses `text` as one JSON value; a null value and false in `*ok` when it is not one.
inline google::protobuf::Value ParseJson(const std::string& text, bool* ok) {
  google::protobuf::Value value;
  *ok = google::protobuf::util::JsonStringToMessage(text, &value).ok();
  return value;
}

// The member of an object, by a path such as "model.name" or "predictions.0.entropy_nats". A null
// value when it is absent.
inline google::protobuf::Value At(const google::protobuf::Value& root, const std::string& path) {
  google::protobuf::Value value = root;
  size_t begin = 0;
  while (begin <= path.size()) {
    size_t end = path.find('.', begin);
    if (end == std::string::npos) end = path.size();
    const std::string step = path.substr(begin, end - begin);
    google::protobuf::Value next;
    if (value.has_struct_value() && value.struct_value().fields().count(step) > 0) {
      next = value.struct_value().fields().at(step);
    } else if (value.has_list_value() && std::stoi(step) < value.list_value().values_size()) {
      next = value.list_value().values(std::stoi(step));
    }
    value = next;
    begin = end + 1;
  }
  return value;
}

}  // namespace heed::testing

#endif  // HEED_TESTS_CLIENT_JSON_CHECK_H_
